"""What each event of a stage makes of the stage, its job and its run's counters."""

from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from stageline_engine import events
from stageline_engine.apply.focus import Focus
from stageline_engine.model.job import JOB_TRANSITIONS, JobKind, JobRow, JobState
from stageline_engine.model.run import RunError
from stageline_engine.model.stage import STAGE_TRANSITIONS, StageRow, StageState
from stageline_engine.model.transitions import follow


def stage_scheduled(focus: Focus, event: events.StageScheduled, now: datetime) -> Focus:
    """The stage and its job begin to exist, or begin anew in a later generation; the lease epoch never goes back."""
    run, before = focus.existing_run(), focus.stage
    stage = StageRow(
        run_id=run.id,
        number=event.number,
        stage_id=event.stage_id,
        group_number=event.group,
        state=StageState.PENDING,
        generation=event.generation,
        attempt=0,
        delivery=0,
        lease_epoch=before.lease_epoch if before else run.lease_epoch_floor,
        recorded_token=None,
        version=before.version if before else 0,
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
        lease_epoch=stage.lease_epoch,
        version=focus.job.version if focus.job else 0,
        deadline_at=event.deadline_at,
    )
    return Focus(run, stage, job)


def stage_discarded(focus: Focus, event: events.StageDiscarded, now: datetime) -> Focus:
    """The stage execution ceases to exist; a later generation may take its place, and goes on counting its leases."""
    run, stage = focus.existing_run(), focus.existing_stage()
    return Focus(replace(run, lease_epoch_floor=max(run.lease_epoch_floor, stage.lease_epoch)), None, None)


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
            deadline_at=event.deadline_at,
        ),
    )


def check_started(focus: Focus, event: events.CheckStarted, now: datetime) -> Focus:
    """The check is leased; the stage stays suspended, its deadline stays the end of the wait."""
    stage, job = focus.existing_stage(), focus.existing_job()
    epoch = stage.lease_epoch + 1
    return Focus(
        focus.run,
        replace(
            stage,
            state=follow(STAGE_TRANSITIONS, stage.state, "CheckStarted"),
            delivery=stage.delivery + 1,
            lease_epoch=epoch,
        ),
        replace(
            job,
            state=follow(JOB_TRANSITIONS, job.state, "CheckStarted"),
            lease_epoch=epoch,
            lease_token=event.lease_token,
            session_id=event.session_id,
        ),
    )


def stage_suspended(focus: Focus, event: events.StageSuspended, now: datetime) -> Focus:
    """The worker is free; the job becomes a check that waits for its time."""
    stage, job = focus.existing_stage(), focus.existing_job()
    return Focus(
        focus.run,
        replace(
            stage,
            state=follow(STAGE_TRANSITIONS, stage.state, "StageSuspended"),
            active=stage.active_until(now),
            delivery=0,
            recorded_token=job.lease_token,
        ),
        replace(
            job,
            kind=JobKind.CHECK,
            state=follow(JOB_TRANSITIONS, job.state, "StageSuspended"),
            available_at=event.check_at,
            deadline_at=event.wait_until,
            poll_interval=event.poll_interval,
            lease_token=None,
            session_id=None,
        ),
    )


def stage_still_waiting(focus: Focus, event: events.StageStillWaiting, now: datetime) -> Focus:
    """The check is over; the next one waits for its time."""
    stage, job = focus.existing_stage(), focus.existing_job()
    return Focus(
        focus.run,
        replace(
            stage,
            state=follow(STAGE_TRANSITIONS, stage.state, "StageStillWaiting"),
            delivery=0,
            recorded_token=job.lease_token,
        ),
        replace(
            job,
            state=follow(JOB_TRANSITIONS, job.state, "StageStillWaiting"),
            available_at=event.check_at,
            lease_token=None,
            session_id=None,
        ),
    )


def check_requested(focus: Focus, event: events.CheckRequested, now: datetime) -> Focus:
    """The next check need not wait any longer; one that is being made is left alone."""
    stage, job = focus.existing_stage(), focus.existing_job()
    follow(STAGE_TRANSITIONS, stage.state, "CheckRequested")
    state = follow(JOB_TRANSITIONS, job.state, "CheckRequested")
    available_at = job.available_at if job.state is JobState.LEASED else now
    return Focus(focus.run, stage, replace(job, state=state, available_at=available_at))


def job_restored(focus: Focus, event: events.JobRestored, now: datetime) -> Focus:
    """An open stage gets the job back that it must have; the wait of a suspended one goes on to its end."""
    run, stage, wait = focus.existing_run(), focus.existing_stage(), event.wait
    state = JobState.READY if wait is None or wait.check_at <= now else JobState.DELAYED
    job = JobRow(
        run_id=run.id,
        stage_number=stage.number,
        route_id=event.route_id,
        kind=JobKind.EXECUTE if wait is None else JobKind.CHECK,
        state=state,
        priority=run.priority,
        available_at=now if wait is None else max(wait.check_at, now),
        generation=stage.generation,
        lease_epoch=stage.lease_epoch,
        version=0,
        deadline_at=event.deadline_at if wait is None else wait.wait_until,
        poll_interval=None if wait is None else wait.poll_interval,
    )
    return Focus(run, replace(stage, state=follow(STAGE_TRANSITIONS, stage.state, "JobRestored")), job)


def stage_progressed(focus: Focus, event: events.StageProgressed, now: datetime) -> Focus:
    """A sign of life moves the deadline where the stage has a heartbeat time-out; else nothing changes."""
    follow(STAGE_TRANSITIONS, focus.existing_stage().state, "StageProgressed")
    if event.deadline_at is None:
        return focus
    return focus._replace(job=replace(focus.existing_job(), deadline_at=event.deadline_at))


def stage_completed(focus: Focus, event: events.StageCompleted, now: datetime) -> Focus:
    """The stage ends well; one stage less is open."""
    run, stage, job = focus.existing_run(), focus.existing_stage(), focus.existing_job()
    state = follow(STAGE_TRANSITIONS, stage.state, "StageCompleted")
    return Focus(
        replace(run, open_stages=run.open_stages - 1),
        replace(
            stage,
            state=state,
            active=stage.active_until(now),
            recorded_token=_recorded(stage, job, reported=event.reported),
            ended_at=now,
        ),
        None,
    )


def stage_failed(focus: Focus, event: events.StageFailed, now: datetime) -> Focus:
    """The stage ends badly; the group's first failure is remembered for the run."""
    run, stage, job = focus.existing_run(), focus.existing_stage(), focus.existing_job()
    error = run.error or RunError(event.error.type, event.error.message, event.stage_id)
    state = follow(STAGE_TRANSITIONS, stage.state, "StageFailed")
    return Focus(
        replace(run, open_stages=run.open_stages - 1, failed_stages=run.failed_stages + 1, error=error),
        replace(
            stage,
            state=state,
            active=stage.active_until(now),
            recorded_token=_recorded(stage, job, reported=event.reported),
            ended_at=now,
        ),
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
            active=stage.active_until(now),
            delivery=0,
            recorded_token=_recorded(stage, job, reported=event.reported),
        ),
        replace(
            job,
            kind=JobKind.EXECUTE,
            state=follow(JOB_TRANSITIONS, job.state, "StageRetryScheduled"),
            available_at=event.available_at,
            deadline_at=event.deadline_at,
            poll_interval=None,
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
            active=stage.active_until(now),
            attempt=stage.attempt if delivery or job.kind is JobKind.CHECK else stage.attempt - 1,
            delivery=delivery,
        ),
        replace(
            job,
            state=follow(JOB_TRANSITIONS, job.state, "StageRequeued"),
            available_at=now,
            deadline_at=job.deadline_at if job.kind is JobKind.CHECK else event.deadline_at,
            lease_token=None,
            session_id=None,
        ),
    )


def stage_cancelled(focus: Focus, event: events.StageCancelled, now: datetime) -> Focus:
    """The stage ends with its run, and its job is gone."""
    run, stage = focus.existing_run(), focus.existing_stage()
    return Focus(
        replace(run, open_stages=run.open_stages - 1),
        replace(
            stage,
            state=follow(STAGE_TRANSITIONS, stage.state, "StageCancelled"),
            active=stage.active_until(now),
            ended_at=now,
        ),
        None,
    )


def _recorded(stage: StageRow, job: JobRow, *, reported: bool) -> UUID | None:
    """The token whose repeated report is to be recognised: this lease's only if its worker was the one that spoke."""
    return job.lease_token if reported else stage.recorded_token
