"""The registry of appliers: one for every kind of event."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from stageline_engine import events
from stageline_engine.apply import run, stage
from stageline_engine.apply.focus import Focus
from stageline_engine.model.job import check_job
from stageline_engine.model.run import check_run
from stageline_engine.model.stage import check_stage

Applier = Callable[[Focus, Any, datetime], Focus]

APPLIERS: Mapping[type, Applier] = {
    events.RunCreated: run.run_created,
    events.RunStarted: run.run_started,
    events.RunAdvanced: run.run_advanced,
    events.RunCompleted: run.run_completed,
    events.RunFailed: run.run_failed,
    events.RunCancelled: run.run_cancelled,
    events.StageScheduled: stage.stage_scheduled,
    events.StageStarted: stage.stage_started,
    events.StageProgressed: stage.stage_progressed,
    events.StageCompleted: stage.stage_completed,
    events.StageFailed: stage.stage_failed,
    events.StageRetryScheduled: stage.stage_retry_scheduled,
    events.StageRequeued: stage.stage_requeued,
    events.StageCancelled: stage.stage_cancelled,
    events.RunRerun: run.run_rerun,
    events.AnnotationAdded: run.annotation_added,
    events.AiCallBooked: run.ai_call_booked,
    events.SubmissionChanged: run.submission_changed,
    events.OrphanSuspected: run.orphan_suspected,
    events.StageDiscarded: stage.stage_discarded,
    events.CheckStarted: stage.check_started,
    events.StageSuspended: stage.stage_suspended,
    events.StageStillWaiting: stage.stage_still_waiting,
    events.CheckRequested: stage.check_requested,
    events.JobRestored: stage.job_restored,
}


def apply(focus: Focus, event: events.Event, now: datetime) -> Focus:
    """Returns the rows after the event, checked against their invariants.

    Raises:
        InvariantError: The event cannot follow on this state, or the new state would contradict itself.
    """
    after = APPLIERS[type(event)](focus, event, now)
    check_run(after.existing_run())
    if after.stage is not None:
        check_stage(after.stage)
    if after.job is not None:
        check_job(after.job)
    return after
