"""What is stored beside the hot rows, and the difference that one transaction writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct

from stageline_engine.events import Annotation, StageError
from stageline_engine.model.ai_call import AiCallRow, LostLease
from stageline_engine.model.job import JobRow
from stageline_engine.model.run import RunRow
from stageline_engine.model.stage import StageRow
from stageline_engine.model.submission import SubmissionRow


class RunPayload(Struct, frozen=True):
    """What never changes of a run: JSON texts of its input and merged config, and its labels."""

    run_id: UUID
    input: str
    config: str
    labels: Mapping[str, str]


class StageResult(Struct, frozen=True):
    """What the last recorded report of a stage execution said: an output (JSON text) or an error."""

    run_id: UUID
    stage_number: int
    generation: int
    output: str | None
    metrics: Mapping[str, float]
    error: StageError | None


class EventRow(Struct, frozen=True):
    """One public event. Sequences per run begin at 1 and have no gap; payload is JSON."""

    run_id: UUID
    sequence: int
    type: str
    payload: bytes
    occurred_at: datetime
    causation_id: UUID


class EventSource(Struct, frozen=True):
    """Whose events they are: a run, its namespace and the name of its workflow."""

    run_id: UUID
    namespace: str
    workflow_name: str


class KeyRecord(Struct, frozen=True):
    """An idempotency key with the fingerprint of its request and the result of the work, as JSON."""

    namespace: str
    command: str
    key: str
    fingerprint: bytes
    result: bytes
    created_at: datetime


class SuspendedState(Struct, frozen=True):
    """What a suspended stage waits with.

    Attributes:
        run_id: The run.
        stage_number: The stage.
        generation: Its generation.
        state: What its checks are given, as JSON text.
        wait_until: The end of its wait; None where an older version did not store it.
        poll_interval: The time between two checks; None where it is never polled, or an older version did not store it.
    """

    run_id: UUID
    stage_number: int
    generation: int
    state: str
    wait_until: datetime | None = None
    poll_interval: timedelta | None = None


class StageProgress(Struct, frozen=True):
    """What a stage's code said last of how far it is; the next one takes its place.

    Attributes:
        run_id: The run.
        stage_number: The stage.
        generation: Its generation.
        attempt: The try that said it.
        fraction: Share done, 0 to 1; None where it was not said.
        message: For people; may be empty.
        details: JSON values.
        told_at: When it was recorded.
    """

    run_id: UUID
    stage_number: int
    generation: int
    attempt: int
    fraction: float | None
    message: str
    details: Mapping[str, Any]
    told_at: datetime


class ResumeToken(Struct, frozen=True):
    """A single-use right to end a stage's wait.

    Attributes:
        token_sha256: The key.
        run_id: The run.
        stage_number: The stage.
        generation: Its generation: a token of an older one is void.
        label: What is waited for, for people.
        expires_at: Until when it is good; None means as long as the stage waits.
        used_fingerprint: SHA-256 of the outcome that it was used with; None while it is unused.
    """

    token_sha256: bytes
    run_id: UUID
    stage_number: int
    generation: int
    label: str
    expires_at: datetime | None
    used_fingerprint: bytes | None = None


class AnnotationRecord(Struct, frozen=True):
    """An annotation with its run and time."""

    run_id: UUID
    annotation: Annotation
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PayloadUse:
    """A run's reference to a payload that is stored apart."""

    run_id: UUID
    sha256: bytes
    namespace: str


@dataclass(frozen=True, slots=True)
class ArtifactsSuperseded:
    """Artifacts that a rerun takes away: of stages from a number on, of generations before the new one.

    Attributes:
        run_id: The run.
        first_stage_number: The first stage that runs again.
        generation: The new one.
        at: When.
    """

    run_id: UUID
    first_stage_number: int
    generation: int
    at: datetime


JobKey = tuple[UUID, int]
"""(run id, stage number): the key of a stage execution and of its job."""


@dataclass(slots=True, kw_only=True)
class ChangeSet:
    """The difference between the rows that were read and the rows that follow. Versions are those that were read."""

    runs_inserted: list[RunRow] = field(default_factory=list)
    runs_updated: list[RunRow] = field(default_factory=list)
    payloads: list[RunPayload] = field(default_factory=list)
    stages_inserted: list[StageRow] = field(default_factory=list)
    stages_updated: list[StageRow] = field(default_factory=list)
    stages_deleted: list[StageRow] = field(default_factory=list)
    jobs_inserted: list[JobRow] = field(default_factory=list)
    jobs_updated: list[JobRow] = field(default_factory=list)
    jobs_deleted: list[JobRow] = field(default_factory=list)
    results: list[StageResult] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    keys: list[KeyRecord] = field(default_factory=list)
    suspended_states: list[SuspendedState] = field(default_factory=list)
    progress: list[StageProgress] = field(default_factory=list)
    resume_tokens: list[ResumeToken] = field(default_factory=list)
    resume_tokens_used: list[ResumeToken] = field(default_factory=list)
    annotations: list[AnnotationRecord] = field(default_factory=list)
    configs: list[tuple[UUID, str]] = field(default_factory=list)
    payload_uses: list[PayloadUse] = field(default_factory=list)
    artifacts_superseded: list[ArtifactsSuperseded] = field(default_factory=list)
    ai_calls: list[AiCallRow] = field(default_factory=list)
    ai_calls_closed: list[AiCallRow] = field(default_factory=list)
    lost_leases: list[LostLease] = field(default_factory=list)
    submissions: list[SubmissionRow] = field(default_factory=list)
