"""Commands about jobs: leasing, reporting, progress; and their results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from msgspec import Struct

from stageline_engine.commands.base import Command
from stageline_engine.commands.outcomes import Outcome
from stageline_engine.events import Annotation
from stageline_engine.model.ai_call import AiCall
from stageline_engine.model.job import JobKind
from stageline_engine.model.submission import KnownSubmission


class StopReason(StrEnum):
    """Why a lease no longer counts. The names are those of ``stageline.v1.StopReason``."""

    RUN_ENDED = "RUN_ENDED"
    SUPERSEDED = "SUPERSEDED"
    TIMED_OUT = "TIMED_OUT"
    HEARTBEAT_TIMED_OUT = "HEARTBEAT_TIMED_OUT"


@dataclass(frozen=True, slots=True)
class LeaseReference:
    """Names one lease for whoever holds it.

    Attributes:
        session_id: Whose it is.
        lease_token: Its secret.
        run_id: The run.
        stage_number: The stage.
        stop_reason: Of a lease that no longer counts: why, for its holder. No part of its identity.
    """

    session_id: UUID
    lease_token: UUID
    run_id: UUID
    stage_number: int
    stop_reason: StopReason = field(default=StopReason.RUN_ENDED, compare=False)


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
class LeaseJobs(Command["LeasedJobs"]):
    """``job.lease``: hand ready jobs to sessions, most urgent first, never more than their slots.

    Jobs that another transaction holds are passed over rather than waited for. A job that a batch of other commands made
    ready is leased in that batch's own transaction where a slot is free and no more urgent job waits.

    A repeat leases further jobs: ask with the slots that are free then.

    Reached by ``WorkerService.Work``: the server asks for each session with free slots.

    Attributes:
        demands: The sessions; together at most ``COMMANDS_PER_BATCH_MAX`` jobs are leased.
    """

    demands: tuple[LeaseDemand, ...]


@dataclass(frozen=True, slots=True)
class LeasedJobs:
    """Result of ``LeaseJobs``; the offers themselves are among the batch's effects.

    Attributes:
        leased: How many jobs were leased.
        contended: Ready jobs were passed over since another transaction held their runs, or given up with a run that can never
            go on: ask again soon.
    """

    leased: int
    contended: bool


class JobOffer(Struct, frozen=True):
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
        heartbeat: The longest silence between two signs of life; None means that none are needed.
        suspended_state: JSON text that the stage suspended with; of a check, or of a try after a suspension.
        submissions: What earlier tries of this generation submitted elsewhere, or may have, by key.
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
    heartbeat: timedelta | None = None
    suspended_state: str | None = None
    submissions: tuple[KnownSubmission, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportJob(Command["JobReportRecorded"]):
    """``job.report``: record what a worker says of a leased job, with all that follows from it.

    The retry, the next group, the end of the run, remarks and events are one transaction. A report whose lease no longer counts
    changes nothing, and its disposition says why. An output, a state or a condition that cannot be accepted makes the outcome a
    final failure of the stage, of type INVALID_OUTPUT, and the note tells the worker.

    A repeat is told ALREADY_RECORDED: a lease token is good for one report.

    Reached by ``WorkerService.Work``, from the return or the exception of a stage function.

    Attributes:
        namespace: Tenant of the reporting session.
        run_id: The run named by the lease token.
        stage_number: The stage named by the lease token.
        lease_token: The secret of the lease.
        outcome: What happened; an output or state has at most ``PAYLOAD_INLINE_BYTES_MAX``.
        annotations: Remarks made meanwhile, at most ``ANNOTATIONS_PER_CALL_MAX``; dropped with a report that does not count.
        ai_calls: AI calls made meanwhile; booked whatever becomes of the report.
    """

    namespace: str
    run_id: UUID
    stage_number: int
    lease_token: UUID
    outcome: Outcome
    annotations: tuple[Annotation, ...] = ()
    ai_calls: tuple[AiCall, ...] = ()


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
        session_id: Whose lease it ended; None where it ended none.
        booked: Ids of the report's AI calls that are on record now.
    """

    disposition: Disposition
    note: str = ""
    session_id: UUID | None = field(default=None, compare=False)
    booked: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportProgress(Command["ProgressRecorded"]):
    """``job.progress``: tell watchers how far a leased job is.

    It is also the sign of life of a stage with a heartbeat time-out. Nothing is written when the lease no longer counts.

    A repeat is told again.

    Reached by ``WorkerService.Work``, from ``ctx.progress()``.

    Attributes:
        namespace: Tenant of the reporting session.
        run_id: The run named by the lease token.
        stage_number: The stage named by the lease token.
        lease_token: The secret of the lease.
        fraction: From 0 to 1; None where that is not known.
        message: For people, at most ``PROGRESS_MESSAGE_LENGTH_MAX``.
        details: Key-values.
    """

    namespace: str
    run_id: UUID
    stage_number: int
    lease_token: UUID
    fraction: float | None
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProgressRecorded:
    """Result of ``ReportProgress``.

    Attributes:
        recorded: False when the lease no longer counts, and nothing was written.
    """

    recorded: bool
