"""Bringing a run back to where its rows say that it should be.

In health there is nothing to do: every transaction leaves each open stage with its one job, and each settled group with
what follows. A run that waits is healthy, however long.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from stageline_engine import events
from stageline_engine.decide.advance import settle_group
from stageline_engine.decide.timeouts import start_deadline
from stageline_engine.decide.view import RunView
from stageline_engine.limits import POLL_INTERVAL_DEFAULT, WAIT_DEFAULT
from stageline_engine.model.run import RunError, RunState
from stageline_engine.model.stage import StageState
from stageline_engine.records import SuspendedState


def decide_repair(
    view: RunView, waits: Mapping[int, SuspendedState], now: datetime
) -> Iterator[events.Event]:
    """Yields a job for each open stage that has none, or the transition that was lost; nothing for a healthy run.

    Args:
        view: The run with all its stages.
        waits: What suspended stages without a job wait with, by stage number.
        now: The present time.
    """
    if view.run.state is not RunState.RUNNING:
        return
    for number, stage in sorted(view.stages.items()):
        if not stage.state.terminal and number not in view.jobs:
            route_id = view.workflow.route_ids[number - 1]
            if stage.state is StageState.SUSPENDED:
                wait = _restored_wait(waits.get(number), now)
                yield events.JobRestored(number, stage.stage_id, route_id, wait)
            else:
                deadline_at = start_deadline(view.definition_of(number), now)
                yield events.JobRestored(number, stage.stage_id, route_id, deadline_at=deadline_at)
    yield from settle_group(view, now)


DEFINITION_LOST = "DEFINITION_LOST"
"""Error type of a run that was under way when its definition could no longer be had."""


def give_up(view: RunView, fault: str) -> Iterator[events.Event]:
    """Yields the end of a running run that can never go on, with all that is open in it.

    Args:
        view: The run with all its stages.
        fault: What stands in the way, for a person.
    """
    for number, stage in sorted(view.stages.items()):
        if not stage.state.terminal:
            yield events.StageCancelled(number, stage.stage_id)
    yield events.RunFailed(RunError(DEFINITION_LOST, f"The run cannot go on: {fault}."))


def _restored_wait(kept: SuspendedState | None, now: datetime) -> events.RestoredWait:
    """The rest of a wait: one that is polled is looked after at once, one that never is keeps its end."""
    if kept is None or kept.wait_until is None:
        return events.RestoredWait(now, POLL_INTERVAL_DEFAULT, now + WAIT_DEFAULT)
    check_at = now if kept.poll_interval else kept.wait_until
    return events.RestoredWait(check_at, kept.poll_interval or POLL_INTERVAL_DEFAULT, kept.wait_until)
