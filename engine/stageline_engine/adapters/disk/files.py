"""Blocking work on files, for threads: every function here is a whole step that leaves nothing half-done."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LEFTOVER_AGE_SECONDS = 24 * 3600
"""A temporary file this old is of a process that died: no upload takes a day."""


def prepare(incoming: Path, objects: Path) -> None:
    """Makes the folders, and removes what uploads of dead processes left."""
    incoming.mkdir(parents=True, exist_ok=True)
    objects.mkdir(parents=True, exist_ok=True)
    oldest = time.time() - LEFTOVER_AGE_SECONDS
    for leftover in incoming.iterdir():
        if leftover.stat().st_mtime < oldest:
            leftover.unlink(missing_ok=True)


class Upload:
    """A file that is written beside its place. Its steps block, and never overlap."""

    def __init__(self, temporary: Path) -> None:
        """Touches nothing yet.

        Args:
            temporary: Where it is written.
        """
        self._temporary = temporary
        self._file: IO[bytes] | None = None

    def begin(self) -> None:
        """Makes the file, whose folder exists."""
        self._file = self._temporary.open("xb")

    def write(self, chunk: bytes) -> None:
        """Adds to what was begun."""
        self._opened().write(chunk)

    def publish(self, target: Path) -> None:
        """Makes what was written durable, then visible under its name, in place of what was there."""
        file = self._opened()
        file.flush()
        os.fsync(file.fileno())
        file.close()
        target.parent.mkdir(parents=True, exist_ok=True)
        self._temporary.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        """Leaves nothing of what was not published; of what was, everything."""
        if self._file is not None:
            self._file.close()
            self._temporary.unlink(missing_ok=True)

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            raise RuntimeError("an upload is begun before it is written")
        return self._file


def files_below(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yields every file below a folder with its size; those that vanish meanwhile are passed over."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                yield path, path.stat().st_size
            except FileNotFoundError:
                continue
