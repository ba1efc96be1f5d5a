"""Makes and checks the folder with PostgreSQL's files."""

import os
import shutil
import subprocess
from pathlib import Path

from stageline_server.embedded.accounts import Account
from stageline_server.embedded.binaries import Binaries, program_environment
from stageline_server.embedded.errors import DataFolderAccessError, DataFolderVersionError, PostgresStartError

SUPERUSER = "stageline"
PROC_CWD = Path("/proc/self/cwd")


def data_argument(cluster: Path, account: Account) -> str:
    """How a program that runs in the folder is told of it.

    As another account it is named through /proc, where there is one: that needs no right on the folders above, which may
    be closed to that account (/root, a temporary folder of mode 0700), since this process has entered the
    folder on its behalf before it changed accounts.
    """
    return str(PROC_CWD) if account.is_other and PROC_CWD.exists() else str(cluster)


def ensure_cluster(cluster: Path, binaries: Binaries, account: Account) -> None:
    """Makes the folder if it is missing, else checks that these binaries can read it.

    The new files are made in a neighbouring folder and renamed when whole: a crash leaves no half of them.

    Raises:
        DataFolderVersionError: Another major version wrote it.
        DataFolderAccessError: It is something else than a PostgreSQL folder.
        PostgresStartError: `initdb` failed; its words are in the message.
    """
    if not cluster.exists():
        _initialise(cluster, binaries, account)
        return
    try:
        found_major = int((cluster / "PG_VERSION").read_text())
    except (OSError, ValueError) as error:
        raise DataFolderAccessError(
            f"{cluster} exists and is no PostgreSQL data folder; move it away"
        ) from error
    if found_major != binaries.major:
        raise DataFolderVersionError(cluster.parent, found_major, binaries.major)


def _initialise(cluster: Path, binaries: Binaries, account: Account) -> None:
    partial = cluster.with_name(f"{cluster.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(mode=0o700)
    account.give(partial)
    command = [
        str(binaries.initdb),
        "-D",
        data_argument(partial, account),
        "--username",
        SUPERUSER,
        # No password: the socket's folder lets in nobody but its owner. Bytewise order and UTF-8 everywhere,
        # so that the same query answers the same on every machine.
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
    ]
    result = subprocess.run(
        command,
        cwd=partial,
        env=program_environment(os.environ),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        **account.switch(),
    )
    if result.returncode != 0:
        shutil.rmtree(partial, ignore_errors=True)
        raise PostgresStartError(f"could not make the data folder {cluster}", result.stderr.strip())
    partial.rename(cluster)
