"""The commands that the kernel takes and the results that it gives. All are frozen values.

A command that cannot be carried out gives a ``Rejection`` instead of its result.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from stageline_engine.events import StageError
from stageline_engine.limits import PRIORITY_DEFAULT
from stageline_engine.model.job import JobKind
from stageline_engine.model.run import RunRow, RunState


@dataclass(frozen=True, slots=True)
class CreateRun:
    """``run.create``: accept a run and make its first group ready, in one transaction.

    Attributes:
        namespace: The tenant.
        workflow_name: Which workflow.
        workflow_version: Which version; 0 means the newest.
        input: JSON text, as UTF-8; validated against the workflow's input schema.
        config: JSON text of an object keyed by stage id; each slice is merged over the stage's defaults, field by field.
        priority: 0 to 100.
        labels: Free key-values.
        idempotency_key: Makes a repeat return the first result; empty means none.
    """

    namespace: str
    workflow_name: str
    input: bytes
    workflow_version: int = 0
    config: bytes = b"{}"
    priority: int = PRIORITY_DEFAULT
    labels: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class RunCreation:
    """Result of ``CreateRun``.

    Attributes:
        run_id: The run.
        workflow_version: The version that it is pinned to.
        replayed: Whether an earlier call with the same key had made it.
        run: The row as this call made it, so that an answer needs no read; None where it was replayed.
    """

    run_id: UUID
    workflow_version: int
    replayed: bool = False
    run: RunRow | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class CancelRun:
    """``run.cancel``: end a run that has not ended, with its stages and jobs."""

    namespace: str
    run_id: UUID
    reason: str = ""
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class LeaseReference:
    """Names one lease for whoever holds it."""

    session_id: UUID
    lease_token: UUID
    run_id: UUID
    stage_number: int


@dataclass(frozen=True, slots=True)
class RunCancellation:
    """Result of ``CancelRun``.

    Attributes:
        cancelled: False when the run had ended already: nothing was changed.
        state: The run's state after the call.
    """

    cancelled: bool
    state: RunState


@dataclass(frozen=True, slots=True)
class TransitionRun:
    """``run.transition``: bring a run to where its rows say that it should be. A repair; healthy runs are left alone."""

    run_id: UUID


@dataclass(frozen=True, slots=True)
class RunTransition:
    """Result of ``TransitionRun``: ``action`` is ``noop``, ``advanced``, ``completed`` or ``failed``."""

    action: str


@dataclass(frozen=True, slots=True)
class LeaseDemand:
    """A session that can take jobs.

    Attributes:
        session_id: The session.
        route_ids: Routes that it can run, sorted.
        slots: How many jobs it can take now.
    """

    session_id: UUID
    route_ids: tuple[int, ...]
    slots: int


@dataclass(frozen=True, slots=True)
class LeaseJobs:
    """``job.lease``: hand ready jobs to sessions, most urgent first, never more than their slots."""

    demands: tuple[LeaseDemand, ...]


@dataclass(frozen=True, slots=True)
class LeasedJobs:
    """Result of ``LeaseJobs``; the offers themselves are among the batch's effects.

    Attributes:
        leased: How many jobs were leased.
        contended: Ready jobs were passed over since another transaction held their runs: ask again soon.
    """

    leased: int
    contended: bool


@dataclass(frozen=True, slots=True)
class JobOffer:
    """A leased job with all that its worker needs.

    Attributes:
        lease: Whom it is leased to, and by which token.
        workflow_name: The workflow.
        workflow_version: The run's version.
        namespace: The tenant.
        stage_id: The stage.
        kind: Run or check.
        generation: Of the stage execution.
        attempt: 1-based try.
        delivery: 1-based hand-over of this try.
        priority: The run's.
        start_to_close: How long the worker may take; None means no limit.
        config: JSON text of this stage's slice, defaults merged.
        run_input: JSON text; present for stages of the first group only.
        input_stage_ids: Stages of the group before, whose outputs are this stage's input.
        outputs: JSON text by stage id, as far as they fit; a worker fetches the others.
        completed_stage_ids: Every stage of the groups before.
    """

    lease: LeaseReference
    namespace: str
    workflow_name: str
    workflow_version: int
    stage_id: str
    kind: JobKind
    generation: int
    attempt: int
    delivery: int
    priority: int
    start_to_close: timedelta | None
    config: str
    run_input: str | None
    input_stage_ids: tuple[str, ...]
    outputs: Mapping[str, str]
    completed_stage_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Completed:
    """The stage is done. ``output`` is UTF-8 JSON, validated against the stage's output schema."""

    output: bytes
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The try failed.

    Attributes:
        error: What happened.
        retryable: False makes it final whatever the policy says; None leaves it to the policy.
        retry_after: The worker's wish for the wait, instead of the policy's backoff.
    """

    error: StageError
    retryable: bool | None = None
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Returned:
    """The worker gives the job back: undone, or never begun (``started`` False, at no delivery's cost)."""

    started: bool = True


Outcome = Completed | Failed | Returned


@dataclass(frozen=True, slots=True)
class ReportJob:
    """``job.report``: what a worker says of a leased job. Idempotent by token.

    Attributes:
        namespace: Tenant of the reporting session.
        run_id: The run named by the lease token.
        stage_number: The stage named by the lease token.
        lease_token: The secret of the lease.
        outcome: What happened.
    """

    namespace: str
    run_id: UUID
    stage_number: int
    lease_token: UUID
    outcome: Outcome


class Disposition(StrEnum):
    """What became of a report. Each ends the report's life at the worker; none is an error."""

    RECORDED = "RECORDED"
    ALREADY_RECORDED = "ALREADY_RECORDED"
    SUPERSEDED = "SUPERSEDED"
    RUN_ENDED = "RUN_ENDED"


@dataclass(frozen=True, slots=True)
class JobReportRecorded:
    """Result of ``ReportJob``: what became of the report.

    Attributes:
        disposition: What became of it.
        note: Why the stage is failed although the worker said otherwise; empty when it is not.
    """

    disposition: Disposition
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReportProgress:
    """How far a leased job is: told to watchers at once. Refused when the lease no longer counts."""

    namespace: str
    run_id: UUID
    stage_number: int
    lease_token: UUID
    fraction: float | None
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProgressRecorded:
    """Result of ``ReportProgress``: False when the lease no longer counts, and nothing was written."""

    recorded: bool


@dataclass(frozen=True, slots=True)
class ReapStaleLeases:
    """``lease.reapStale``: hand on the jobs of sessions that were not heard of in time."""

    limit: int = 100


@dataclass(frozen=True, slots=True)
class StaleLeasesReaped:
    """Result of ``ReapStaleLeases``."""

    sessions: tuple[UUID, ...] = ()
    requeued: int = 0
    poisoned: int = 0


@dataclass(frozen=True, slots=True)
class PromoteJobs:
    """Makes jobs ready whose time has come: retries after their backoff, checks of suspended stages."""

    limit: int = 500


@dataclass(frozen=True, slots=True)
class JobsPromoted:
    """Result of ``PromoteJobs``.

    Attributes:
        promoted: How many became ready.
        next_available_at: When the next one will; None while no job waits for a time.
    """

    promoted: int
    next_available_at: datetime | None


@dataclass(frozen=True, slots=True)
class FlushOutbox:
    """``outbox.flush``: give unpublished events to the sink, in order per run."""

    limit: int = 500


@dataclass(frozen=True, slots=True)
class OutboxFlushed:
    """Result of ``FlushOutbox``.

    Attributes:
        published: Events that the sink took.
        failed: Runs whose stream is held up: the sink refused an event, which will be tried again.
        dead: Events that were dead-lettered in this call.
    """

    published: int
    failed: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Effects:
    """What a committed batch means for the world around it.

    Attributes:
        offers: Jobs leased in the batch, to be sent to their sessions.
        ready_routes: Routes that have jobs waiting for a worker.
        stopped: Leases that no longer count; their holders should be told.
        touched_runs: Runs with new events; their watchers should look.
        wake_at: The earliest time at which a job that waits for a time was made to wait in this batch.
    """

    offers: tuple[JobOffer, ...] = ()
    ready_routes: frozenset[int] = frozenset()
    stopped: tuple[LeaseReference, ...] = ()
    touched_runs: frozenset[UUID] = frozenset()
    wake_at: datetime | None = None
