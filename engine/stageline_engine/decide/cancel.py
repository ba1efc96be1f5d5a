"""Ending a run because somebody said so."""

from collections.abc import Iterator

from stageline_engine import events
from stageline_engine.decide.view import RunView


def decide_cancel(view: RunView, reason: str) -> Iterator[events.Event]:
    """Yields the end of every open stage, then of the run; nothing where the run has ended already.

    Args:
        view: The run with all its stages.
        reason: Why, as a person wrote it.
    """
    if view.run.state.terminal:
        return
    for number, stage in sorted(view.stages.items()):
        if not stage.state.terminal:
            yield events.StageCancelled(number, stage.stage_id)
    yield events.RunCancelled(reason)
