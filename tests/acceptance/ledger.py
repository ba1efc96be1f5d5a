"""The test's side of `workflows.py`: what to order, when to open the gate, and what was executed how often."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import READY_WITHIN
from tests.waiting import eventually_sync

STAGES = ("first", "left", "right", "last")
TOTAL = {"total": 3}


@dataclass(frozen=True)
class Execution:
    """One call of a stage's function, as the stage itself wrote it down."""

    run_id: str
    stage_id: str
    attempt: int
    delivery: int
    pid: int


@dataclass(frozen=True)
class Ledger:
    """A folder that the stages of a test write to.

    Attributes:
        folder: The folder; exists.
    """

    folder: Path

    def order(self, *, held: Sequence[str] = (), failing: Sequence[str] = ()) -> dict[str, Any]:
        """The input of a run, whose stages wait for the gate, or fail, where told to."""
        return {"folder": str(self.folder), "held": list(held), "failing": list(failing)}

    def open_gate(self) -> None:
        """Lets all waiting stages go on, now and later."""
        (self.folder / "gate-is-open").touch()

    def executions(self) -> list[Execution]:
        """What was executed so far. A line that is being written is not there yet."""
        try:
            lines = (self.folder / "executions.jsonl").read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [Execution(**json.loads(line)) for line in lines if line.endswith("\n")]

    def counts(self) -> Counter[tuple[str, str]]:
        """How often each stage of each run was executed."""
        return Counter((each.run_id, each.stage_id) for each in self.executions())

    def wait_for(self, stage_id: str, count: int) -> None:
        """Returns once a stage was begun so often, in whatever runs."""

        def begun() -> bool:
            return sum(each.stage_id == stage_id for each in self.executions()) >= count

        eventually_sync(begun, what=f"{count} executions of {stage_id}", within=READY_WITHIN)
