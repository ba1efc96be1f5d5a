"""Write docs/state_machines.md from the transition tables, so that the diagrams never lie.

Usage: python tools/draw_state_machines.py [--check]; with --check nothing is written, and a stale page exits with 1.
"""

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from stageline_engine.model.job import JOB_TRANSITIONS
from stageline_engine.model.run import RUN_TRANSITIONS
from stageline_engine.model.stage import STAGE_TRANSITIONS, StageState

State = TypeVar("State", bound=StrEnum)
Table = Mapping[tuple[State, str], State]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "state_machines.md"
HEAD = """\
# State machines

What can happen to a run, a stage and a job. This page is made by `make pages` from the tables in
`engine/stageline_engine/model/`; `apply` follows them, and an event that is not in a state's table is refused there.
An arrow's name is the event that the kernel decides; `docs/events.md` says what the outside is told of each.
"""
RUN_TEXT = """\
A run is created PENDING and started in the same transaction. It is RUNNING while anything of it is still to be done. An ended run has no live job and no open stage; a cancelled one never changes again.
"""
STAGE_TEXT = """\
A stage begins to exist, with its job, when its group is made ready. A failed try that the policy allows to repeat, and a lease
that ended without an outcome, lead back to PENDING.
"""
JOB_TEXT = """\
A job lives as long as its stage is open, and is deleted in the transaction that ends the stage, from any state. It becomes READY
when its stage is scheduled.
"""
# Where each machine begins, and the event by which it does.
RUN_BIRTH, STAGE_BIRTH, JOB_BIRTH = (
    ("PENDING", "RunCreated"),
    ("PENDING", "StageScheduled"),
    ("READY", "StageScheduled"),
)


def diagram(table: Table[State], birth: tuple[str, str], ends: Sequence[str]) -> str:
    """Return one mermaid diagram: arrows that join the same two states share a line.

    Args:
        table: The transitions.
        birth: The first state and the event that leads to it.
        ends: The states that end the machine.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for (state, event), following in table.items():
        names.setdefault((state.value, following.value), []).append(event)
    lines = ["stateDiagram-v2", f"    [*] --> {birth[0]}: {birth[1]}"]
    lines += [
        f"    {state} --> {following}: {', '.join(events)}" for (state, following), events in names.items()
    ]
    lines += [f"    {state} --> [*]" for state in ends]
    return "\n".join(["```mermaid", *lines, "```"])


def absent(table: Table[State], states: type[State]) -> list[str]:
    """Return the states that no event of the table leads to or from."""
    drawn = {state for state, _ in table} | set(table.values())
    return [state.value for state in states if state not in drawn]


def final_states(table: Table[State]) -> list[str]:
    """Return the states that end the machine: terminal ones that the table reaches."""
    return [state.value for state in dict.fromkeys(table.values()) if getattr(state, "terminal", False)]


def page() -> str:
    """Return the whole page."""
    reserved = ", ".join(absent(STAGE_TRANSITIONS, StageState))
    note = f"Reserved, with no transition yet: {reserved}.\n" if reserved else ""
    sections = (
        ("Run", RUN_TEXT, diagram(RUN_TRANSITIONS, RUN_BIRTH, final_states(RUN_TRANSITIONS)), ""),
        ("Stage", STAGE_TEXT, diagram(STAGE_TRANSITIONS, STAGE_BIRTH, final_states(STAGE_TRANSITIONS)), note),
        ("Job", JOB_TEXT, diagram(JOB_TRANSITIONS, JOB_BIRTH, []), ""),
    )
    parts = [HEAD]
    for title, text, drawing, foot in sections:
        parts += [f"## {title}\n", text, f"{drawing}\n", *([foot] if foot else [])]
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Write or check the page."""
    fresh = page()
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == fresh:
            return 0
        print(
            "state machines: docs/state_machines.md is stale; run make pages and commit the result",
            file=sys.stderr,
        )
        return 1
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
