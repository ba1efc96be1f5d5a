"""What is stored beside the hot rows, and the difference that one transaction writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from stageline_engine.events import StageError
from stageline_engine.model.job import JobRow
from stageline_engine.model.run import RunRow
from stageline_engine.model.stage import StageRow


@dataclass(frozen=True, slots=True)
class RunPayload:
    """What never changes of a run: JSON texts of its input and merged config, and its labels."""

    run_id: UUID
    input: str
    config: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StageResult:
    """What the last recorded report of a stage execution said: an output (JSON text) or an error."""

    run_id: UUID
    stage_number: int
    generation: int
    output: str | None
    metrics: Mapping[str, float]
    error: StageError | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """One public event. Sequences per run begin at 1 and have no gap; payload is JSON."""

    run_id: UUID
    sequence: int
    type: str
    payload: bytes
    occurred_at: datetime
    causation_id: UUID


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An idempotency key with the fingerprint of its request and the result of the work, as JSON."""

    namespace: str
    command: str
    key: str
    fingerprint: bytes
    result: bytes
    created_at: datetime


JobKey = tuple[UUID, int]
"""(run id, stage number): the key of a stage execution and of its job."""


@dataclass(slots=True)
class ChangeSet:
    """The difference between the rows that were read and the rows that follow. Versions are those that were read."""

    runs_inserted: list[RunRow] = field(default_factory=list)
    runs_updated: list[RunRow] = field(default_factory=list)
    payloads: list[RunPayload] = field(default_factory=list)
    stages_inserted: list[StageRow] = field(default_factory=list)
    stages_updated: list[StageRow] = field(default_factory=list)
    jobs_inserted: list[JobRow] = field(default_factory=list)
    jobs_updated: list[JobRow] = field(default_factory=list)
    jobs_deleted: list[JobRow] = field(default_factory=list)
    results: list[StageResult] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    keys: list[KeyRecord] = field(default_factory=list)
