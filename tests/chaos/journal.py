"""What the stages of a scenario did, as they wrote it down themselves: a file that no server knows of.

A line is one write to a file opened for appending, so lines of many processes never mix, and a SIGKILL after the write
loses none.
"""

import os
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from stageline_sdk import Context
from tests.support.processes import READY_WITHIN
from tests.waiting import eventually_sync

BEGAN = "began"
"""The kind of mark that every stage makes before anything else."""


class Mark(NamedTuple):
    """One line: what happened in which execution of which stage."""

    kind: str
    run_id: str
    stage_id: str
    attempt: int
    delivery: int
    pid: int


def mark(folder: str, kind: str, ctx: Context[Any, Any]) -> None:
    """Writes a line; called by stages."""
    line = f"{kind} {ctx.run_id} {ctx.stage_id} {ctx.attempt} {ctx.delivery} {os.getpid()}\n"
    file = os.open(Path(folder) / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


class Journal:
    """The reader's side, which also opens the gate that some stages wait for."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder; makes it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def open_gate(self, name: str = "gate") -> None:
        """Lets stages go on that wait for this gate, now and later."""
        (self.folder / name).touch()

    def marks(self, kind: str = BEGAN) -> list[Mark]:
        """All lines of a kind, in the order of writing."""
        try:
            lines = (self.folder / "journal").read_text().splitlines()
        except FileNotFoundError:
            return []
        parts = [line.split(" ") for line in lines if line.startswith(f"{kind} ")]
        return [Mark(k, run, stage, int(a), int(d), int(pid)) for k, run, stage, a, d, pid in parts]

    def count(self, kind: str = BEGAN) -> int:
        """How many lines of a kind there are."""
        try:
            return (self.folder / "journal").read_bytes().count(f"{kind} ".encode())
        except FileNotFoundError:
            return 0

    def wait_for(self, count: int, kind: str = BEGAN, within: timedelta = READY_WITHIN) -> None:
        """Returns once there are so many lines of a kind."""
        eventually_sync(
            lambda: self.count(kind) >= count, what=f"{count} marks of kind {kind!r}", within=within
        )

    def executions(self) -> Counter[tuple[str, str]]:
        """How often each stage of each run was begun."""
        return Counter((each.run_id, each.stage_id) for each in self.marks())

    def repeated(self) -> int:
        """Executions that were not the first of their attempt."""
        marks = self.marks()
        return len(marks) - len({(each.run_id, each.stage_id, each.attempt) for each in marks})
