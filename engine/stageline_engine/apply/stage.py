"""What each event of a stage makes of the stage, its job and its run's counters."""

from dataclasses import replace
from datetime import datetime

from stageline_engine import events
from stageline_engine.apply.focus import Focus
from stageline_engine.model.job import JOB_TRANSITIONS, JobKind, JobRow, JobState
from stageline_engine.model.run import RunError
from stageline_engine.model.stage import STAGE_TRANSITIONS, StageRow, StageState
from stageline_engine.model.transitions import follow


def stage_scheduled(focus: Focus, event: events.StageScheduled, now: datetime) -> Focus:
    """The stage and its job begin to exist."""
    run = focus.existing_run()
    stage = StageRow(
        run_id=run.id,
        number=event.number,
        stage_id=event.stage_id,
        group_number=event.group,
        state=StageState.PENDING,
        generation=event.generation,
        attempt=0,
        delivery=0,
        lease_epoch=0,
        recorded_token=None,
        version=0,
        created_at=now,
    )
    job = JobRow(
        run_id=run.id,
        stage_number=event.number,
        route_id=event.route_id,
        kind=JobKind.EXECUTE,
        state=JobState.READY,
        priority=run.priority,
        available_at=now,
        generation=event.generation,
        lease_epoch=0,
        version=0,
    )
    return Focus(run, stage, job)


def stage_started(focus: Focus, event: events.StageStarted, now: datetime) -> Focus:
    """The job is leased and the stage runs."""
    stage, job = focus.existing_stage(), focus.existing_job()
    epoch = stage.lease_epoch + 1
    return Focus(
        focus.run,
        replace(
            stage,
            state=follow(STAGE_TRANSITIONS, stage.state, "StageStarted"),
            attempt=event.attempt,
            delivery=event.delivery,
            lease_epoch=epoch,
            started_at=now,
        ),
        replace(
            job,
            state=follow(JOB_TRANSITIONS, job.state, "StageStarted"),
            lease_epoch=epoch,
            lease_token=event.lease_token,
            session_id=event.session_id,
        ),
    )


def stage_progressed(focus: Focus, event: events.StageProgressed, now: datetime) -> Focus:
    """Nothing changes; only a stage that runs can make progress."""
    follow(STAGE_TRANSITIONS, focus.existing_stage().state, "StageProgressed")
    return focus


def stage_completed(focus: Focus, event: events.StageCompleted, now: datetime) -> Focus:
    """The stage ends well; one stage less is open."""
    run, stage, job = focus.existing_run(), focus.existing_stage(), focus.existing_job()
    state = follow(STAGE_TRANSITIONS, stage.state, "StageCompleted")
    return Focus(
        replace(run, open_stages=run.open_stages - 1),
        replace(stage, state=state, recorded_token=job.lease_token, ended_at=now),
        None,
    )


def stage_failed(focus: Focus, event: events.StageFailed, now: datetime) -> Focus:
    """The stage ends badly; the group's first failure is remembered for the run."""
    run, stage, job = focus.existing_run(), focus.existing_stage(), focus.existing_job()
    error = run.error or RunError(event.error.type, event.error.message, event.stage_id)
    state = follow(STAGE_TRANSITIONS, stage.state, "StageFailed")
    recorded_token = job.lease_token if event.reported else stage.recorded_token
    return Focus(
        replace(run, open_stages=run.open_stages - 1, failed_stages=run.failed_stages + 1, error=error),
        replace(stage, state=state, recorded_token=recorded_token, ended_at=now),
        None,
    )


def stage_retry_scheduled(focus: Focus, event: events.StageRetryScheduled, now: datetime) -> Focus:
    """The try is over; the next one waits for its time with a fresh count of deliveries."""
    stage, job = focus.existing_stage(), focus.existing_job()
    return Focus(
        focus.run,
        replace(
            stage,
            state=follow(STAGE_TRANSITIONS, stage.state, "StageRetryScheduled"),
            delivery=0,
            recorded_token=job.lease_token,
        ),
        replace(
            job,
            state=follow(JOB_TRANSITIONS, job.state, "StageRetryScheduled"),
            available_at=event.available_at,
            lease_token=None,
            session_id=None,
        ),
    )


def stage_requeued(focus: Focus, event: events.StageRequeued, now: datetime) -> Focus:
    """The lease ends without an outcome. A hand-over that does not count is undone in the counters as well."""
    stage, job = focus.existing_stage(), focus.existing_job()
    delivery = stage.delivery if event.counted else stage.delivery - 1
    return Focus(
        focus.run,
        replace(
            stage,
            state=follow(STAGE_TRANSITIONS, stage.state, "StageRequeued"),
            attempt=stage.attempt if delivery else stage.attempt - 1,
            delivery=delivery,
        ),
        replace(
            job,
            state=follow(JOB_TRANSITIONS, job.state, "StageRequeued"),
            available_at=now,
            lease_token=None,
            session_id=None,
        ),
    )


def stage_cancelled(focus: Focus, event: events.StageCancelled, now: datetime) -> Focus:
    """The stage ends with its run, and its job is gone."""
    run, stage = focus.existing_run(), focus.existing_stage()
    return Focus(
        replace(run, open_stages=run.open_stages - 1),
        replace(stage, state=follow(STAGE_TRANSITIONS, stage.state, "StageCancelled"), ended_at=now),
        None,
    )
