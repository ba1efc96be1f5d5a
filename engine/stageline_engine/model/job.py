"""A job: the queue entry that makes a worker act for a stage. At most one is live per stage execution, by its key.

Jobs wait READY (to be leased, in the order of priority, then age of the run) or DELAYED (until ``available_at``), or are
LEASED by a session. A job that has been reported is deleted in the transaction that records the report.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from stageline_engine.errors import InvariantError


class JobKind(StrEnum):
    """What the worker is asked to do: run the stage, or check a suspended one."""

    EXECUTE = "EXECUTE"
    CHECK = "CHECK"


class JobState(StrEnum):
    """Where a live job is."""

    DELAYED = "DELAYED"
    READY = "READY"
    LEASED = "LEASED"


JOB_TRANSITIONS = {
    (JobState.DELAYED, "JobPromoted"): JobState.READY,
    (JobState.READY, "StageStarted"): JobState.LEASED,
    (JobState.LEASED, "StageRequeued"): JobState.READY,
    (JobState.LEASED, "StageRetryScheduled"): JobState.DELAYED,
    (JobState.READY, "StageRetryScheduled"): JobState.DELAYED,
    (JobState.DELAYED, "StageRetryScheduled"): JobState.DELAYED,
    (JobState.READY, "CheckStarted"): JobState.LEASED,
    (JobState.LEASED, "StageSuspended"): JobState.DELAYED,
    (JobState.LEASED, "StageStillWaiting"): JobState.DELAYED,
    (JobState.DELAYED, "CheckRequested"): JobState.READY,
    (JobState.READY, "CheckRequested"): JobState.READY,
    (JobState.LEASED, "CheckRequested"): JobState.LEASED,
}


class JobRow(Struct, frozen=True):
    """One row of ``jobs``.

    Attributes:
        run_id: The run.
        stage_number: The stage; with ``run_id`` the key.
        route_id: Which stage of which definition version: what a worker must have to be given the job.
        kind: Run or check.
        state: See ``JOB_TRANSITIONS``.
        priority: Copied from the run.
        available_at: Not before this time.
        generation: Generation of the stage execution it acts for.
        lease_epoch: Epoch of the present lease; the stage's own when it is not leased.
        lease_token: Secret of the present lease.
        session_id: Who holds it.
        version: Guards writes, as in ``RunRow``.
        deadline_at: When the server acts if nothing has happened: the start of a job that waits, the report of one that
            runs, the end of a suspended stage's wait. None means no limit.
        poll_interval: Of a suspended stage, the time between two checks; None for jobs that run a stage.
    """

    run_id: UUID
    stage_number: int
    route_id: int
    kind: JobKind
    state: JobState
    priority: int
    available_at: datetime
    generation: int
    lease_epoch: int
    version: int
    lease_token: UUID | None = None
    session_id: UUID | None = None
    deadline_at: datetime | None = None
    poll_interval: timedelta | None = None


def check_job(job: JobRow) -> None:
    """Checks what must hold of every job row; the table has the same rules as named CHECKs.

    Raises:
        InvariantError: The row contradicts itself.
    """
    leased = job.state is JobState.LEASED
    if leased != (job.lease_token is not None) or leased != (job.session_id is not None):
        raise InvariantError(
            f"job {job.run_id}/{job.stage_number} is {job.state} with session {job.session_id}"
        )
