"""Reads `postmaster.pid`, PostgreSQL's own note of the process that runs on a data folder.

The note outlives a SIGKILL, and its number may by then belong to any process, so it is believed only when
that process proves to be a PostgreSQL on this very folder.
"""

import contextlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "postmaster.pid"


@dataclass(frozen=True)
class PostmasterFile:
    """The parts of `postmaster.pid` that we need.

    Attributes:
        pid: The main process.
        socket_dir: The folder of its socket; None if it has not written that line yet.
        is_ready: Whether it takes connections.
    """

    pid: int
    socket_dir: Path | None
    is_ready: bool


def read_postmaster_file(cluster: Path) -> PostmasterFile | None:
    """Reads the file; None if there is none, or not even its first line is written yet."""
    try:
        lines = (cluster / FILE_NAME).read_text(errors="replace").splitlines()
        pid = int(lines[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    socket_dir = Path(lines[4]) if len(lines) > 4 and lines[4].strip() else None
    return PostmasterFile(pid, socket_dir, is_ready=len(lines) > 7 and lines[7].strip() == "ready")


def live_postmaster(cluster: Path) -> int | None:
    """The number of the live PostgreSQL that runs on the folder, or None."""
    note = read_postmaster_file(cluster)
    return note.pid if note and _is_postgres_on(note.pid, cluster) else None


def remove_stale_file(cluster: Path) -> None:
    """Removes the note of a process that is gone.

    PostgreSQL would do it, unless an unrelated process of the same user has got the number since, which is
    common in containers, where numbers are few. Call only when `live_postmaster` says None.
    """
    with contextlib.suppress(FileNotFoundError):
        (cluster / FILE_NAME).unlink()


def _is_postgres_on(pid: int, cluster: Path) -> bool:
    if Path("/proc/self/cwd").exists():
        # The main process works in its data folder. Processes that we may not look at are not of our account,
        # and so cannot own this folder.
        try:
            return Path(f"/proc/{pid}/cwd").samefile(cluster) and _program_of(pid) == "postgres"
        except OSError:
            return False
    command = ["ps", "-p", str(pid), "-o", "comm="]
    name = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return Path(name).name == "postgres"


def _program_of(pid: int) -> str:
    # The name of the file that runs; a server whose wheel was upgraded under it shows " (deleted)" behind it.
    return Path(f"/proc/{pid}/exe").readlink().name.removesuffix(" (deleted)")
