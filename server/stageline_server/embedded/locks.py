"""A lock on a file, held by the kernel for as long as a process lives.

Files with process numbers in them lie after a crash; `flock` does not: the kernel drops it with the last
process that holds it. It belongs to the open file, so a child that inherits the descriptor holds it too. Two
of these guard a data folder: one is held by the stageline server, one is inherited by every process of its
PostgreSQL, so that "is anything of the last run still alive?" has an exact answer.
"""

import fcntl
import os
from pathlib import Path


class FileLock:
    """An exclusive lock on `path`, which is created if missing and never removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The open file that carries the lock, to hand to a child process."""
        assert self._descriptor is not None, "the lock is not held"
        return self._descriptor

    def acquire(self) -> bool:
        """Takes the lock without waiting, and notes this process's number in the file.

        Returns:
            False if another open file holds it, in this process or any other.

        Raises:
            OSError: The file cannot be opened for writing.
        """
        assert self._descriptor is None, "the lock is held already"
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Lets go; the lock stays held while a child that inherited it lives. Does nothing if not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder_pid(self) -> int | None:
        """The number that the last holder noted, or None. Worth something only while the lock is held."""
        try:
            return int(self._path.read_text())
        except (OSError, ValueError):
            return None
