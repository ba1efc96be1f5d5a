"""When the server acts if nothing has happened, and what it does then.

Four limits of time: a stage must be leased (schedule-to-start), reported (start-to-close), give signs of life (heartbeat),
and a run must end (run time-out). A suspended stage's wait is a fifth. None means no limit.
"""

from collections.abc import Iterator
from datetime import datetime

from stageline_engine import events
from stageline_engine.commands import Failed
from stageline_engine.decide.report import fail_stage, fail_try
from stageline_engine.decide.view import RunView
from stageline_engine.model.job import JobKind, JobState
from stageline_engine.model.run import RunError

NOT_STARTED_IN_TIME = "NOT_STARTED_IN_TIME"
TIMED_OUT = "TIMED_OUT"
HEARTBEAT_TIMED_OUT = "HEARTBEAT_TIMED_OUT"
WAIT_EXPIRED = "WAIT_EXPIRED"
RUN_TIMED_OUT = "RUN_TIMED_OUT"
"""Error types of stages and runs that ran out of time."""


def decide_deadline(view: RunView, number: int, now: datetime, chance: float) -> Iterator[events.Event]:
    """Yields what follows when a job's deadline has passed; nothing where it has not, or the job is gone.

    Args:
        view: The run, with the stage and its job.
        number: The stage.
        now: The present time.
        chance: A number from 0 to 1 for the jitter of a retry.
    """
    job, stage = view.jobs.get(number), view.stages.get(number)
    if job is None or stage is None or job.deadline_at is None or job.deadline_at > now:
        return
    timeouts = view.definition_of(number).timeouts
    if job.kind is JobKind.CHECK:
        message = (
            f"Stage {stage.stage_id} waited until {job.deadline_at.isoformat()}, the longest that it may."
        )
        yield from fail_stage(view, stage, events.StageError(WAIT_EXPIRED, message), now, reported=False)
    elif job.state is not JobState.LEASED:
        message = f"No worker took stage {stage.stage_id} within {timeouts.schedule_to_start}."
        yield from fail_stage(
            view, stage, events.StageError(NOT_STARTED_IN_TIME, message), now, reported=False
        )
    else:
        closed = timeouts.start_to_close
        late = closed is not None and stage.started_at is not None and now >= stage.started_at + closed
        error = (
            events.StageError(TIMED_OUT, f"Stage {stage.stage_id} was not done within {closed}.")
            if late
            else events.StageError(
                HEARTBEAT_TIMED_OUT, f"Stage {stage.stage_id} gave no sign of life for {timeouts.heartbeat}."
            )
        )
        yield from fail_try(view, stage, Failed(error), now, chance, reported=False)


def decide_run_deadline(view: RunView, now: datetime) -> Iterator[events.Event]:
    """Yields the end of a run whose time is over; nothing where it is not, or the run has ended.

    Args:
        view: The run with all its stages.
        now: The present time.
    """
    run = view.run
    if run.state.terminal or run.deadline_at is None or run.deadline_at > now:
        return
    for number, stage in sorted(view.stages.items()):
        if not stage.state.terminal:
            yield events.StageCancelled(number, stage.stage_id)
    message = f"The run had not ended within {view.workflow.definition.run_timeout} of its start."
    yield events.RunFailed(RunError(RUN_TIMED_OUT, message))
