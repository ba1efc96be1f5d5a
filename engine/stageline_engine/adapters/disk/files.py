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


def publish(file: IO[bytes], temporary: Path, target: Path) -> None:
    """Makes a written file durable, then visible under its name, in place of what was there."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def discard(file: IO[bytes], temporary: Path) -> None:
    """Ends an upload that failed."""
    file.close()
    temporary.unlink(missing_ok=True)


def files_below(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yields every file below a folder with its size; those that vanish meanwhile are passed over."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                yield path, path.stat().st_size
            except FileNotFoundError:
                continue
