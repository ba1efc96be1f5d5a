"""Bringing a run back to where its rows say that it should be.

In health there is nothing to do: every transaction leaves each open stage with its one job, and each settled group with
what follows. A run that waits is healthy, however long.
"""

from collections.abc import Iterator
from datetime import datetime

from stageline_engine import events
from stageline_engine.decide.advance import settle_group
from stageline_engine.decide.view import RunView
from stageline_engine.model.run import RunState


def decide_repair(view: RunView, now: datetime) -> Iterator[events.Event]:
    """Yields a job for each open stage that has none, or the transition that was lost; nothing for a healthy run.

    Args:
        view: The run with all its stages.
        now: The present time.
    """
    if view.run.state is not RunState.RUNNING:
        return
    for number, stage in sorted(view.stages.items()):
        if not stage.state.terminal and number not in view.jobs:
            yield events.JobRestored(number, stage.stage_id, view.workflow.route_ids[number - 1])
    yield from settle_group(view, now)
