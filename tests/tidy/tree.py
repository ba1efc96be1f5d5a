"""The files that the tidy tests read."""

import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# Hand-written packages that are shipped in the wheel.
SHIPPED = (
    "engine/stageline_engine",
    "server/stageline_server",
    "worker_sdk/stageline_sdk",
    "migrations/stageline_migrations",
    "local/stageline_local",
    "cli/stageline_cli",
    "conformance/stageline_conformance",
)
# Hand-written Python that is not shipped.
BESIDE = ("tests", "tools", "examples", "benchmarks")
GENERATED = "protos/gen/"


@cache
def repository_files() -> tuple[str, ...]:
    """Return every file that git would keep, as paths from the root, generated code left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return tuple(
        name for name in sorted(set(listed)) if not name.startswith(GENERATED) and (ROOT / name).is_file()
    )


def python_files(*folders: str) -> list[str]:
    """Return the Python files under the folders, as paths from the root."""
    prefixes = tuple(f"{folder}/" for folder in folders)
    return [name for name in repository_files() if name.endswith(".py") and name.startswith(prefixes)]


def files_of_kind(*suffixes: str) -> list[str]:
    """Return the files whose names end so, as paths from the root."""
    return [name for name in repository_files() if name.endswith(suffixes)]


def read(name: str) -> str:
    """Return the text of a file named from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads(read("pyproject.toml"))
