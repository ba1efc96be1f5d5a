"""What clients ask for in the scenarios, and the proof that a storm left every slot usable."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from stageline_sdk import SyncClient
from tests.chaos.arena import Arena
from tests.chaos.stages import COMPANIONS, SLOTS
from tests.support.processes import Process
from tests.waiting import eventually_sync


def create_runs(arena: Arena, client: SyncClient, workflow: str, count: int, **task: Any) -> list[str]:
    """Creates runs, each with a number of its own; returns the ids that the client was told."""
    return [
        client.create_run(workflow, task_of(arena, number=number, **task)).id
        for number in range(1, count + 1)
    ]


def task_of(arena: Arena, **task: Any) -> dict[str, Any]:
    """The input of a run of `tests/chaos/stages.py`."""
    return {"folder": str(arena.journal.folder), **task}


def every_slot_works(arena: Arena, client: SyncClient, workers: Sequence[Process]) -> list[str]:
    """Fills every slot of the workers at once: one that is still held from the storm would never be filled.

    Returns:
        The ids of the runs that did it.
    """
    slots = len(workers) * SLOTS
    before = arena.journal.count()
    runs = create_runs(arena, client, "held", slots // COMPANIONS)
    eventually_sync(
        lambda: _begun(arena, workers, before + slots),
        what=f"{slots} stages at once",
        within=timedelta(seconds=60),
    )
    arena.journal.open_gate()
    assert {client.wait_for_run(run_id).status for run_id in runs} == {"COMPLETED"}
    return runs


def _begun(arena: Arena, workers: Sequence[Process], count: int) -> bool:
    for each in workers:
        each.check_running()
    return arena.journal.count() >= count
