"""What can happen. Deciders propose these values; ``apply`` alone turns them into new state.

Most are also told to the outside: ``publish.py`` says which, under what name and with what payload.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from stageline_engine.model.job import JobKind
from stageline_engine.model.run import RunError, RunRow


@dataclass(frozen=True, slots=True)
class StageError:
    """Why a try of a stage failed.

    Attributes:
        type: Name of the error's type, such as ``ValueError`` or ``WORKER_LOST``.
        message: What went wrong, for a person.
        stack: Where, as the language prints it; may be empty.
    """

    type: str
    message: str
    stack: str = ""


@dataclass(frozen=True, slots=True)
class RunCreated:
    """A run was accepted. Carries the row and what never changes of it."""

    run: RunRow
    input: str
    config: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run left PENDING."""


@dataclass(frozen=True, slots=True)
class RunAdvanced:
    """A group became ready; its stages are scheduled by the events that follow."""

    group: int
    stage_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunCompleted:
    """The last group is complete.

    Attributes:
        outputs: JSON text of each stage of the last group by id, or None where they are too large to be told.
    """

    outputs: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class RunFailed:
    """Every stage of the group has ended and at least one has failed for good."""

    error: RunError


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """Somebody cancelled the run; its stages' cancellations follow."""

    reason: str


@dataclass(frozen=True, slots=True)
class StageScheduled:
    """A stage became ready: its row and its job begin to exist."""

    number: int
    stage_id: str
    group: int
    route_id: int
    generation: int = 1


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A job was leased to a session."""

    number: int
    stage_id: str
    stage_name: str
    kind: JobKind
    attempt: int
    delivery: int
    lease_token: UUID
    session_id: UUID


@dataclass(frozen=True, slots=True)
class StageProgressed:
    """A worker told how far it is. Changes no state; fraction is 0 to 1, or None where it was not said."""

    number: int
    stage_id: str
    fraction: float | None
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageCompleted:
    """A worker's output was accepted.

    Attributes:
        output: JSON text.
        metrics: Numbers that the stage reported.
    """

    number: int
    stage_id: str
    output: str
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageFailed:
    """The stage has failed for good.

    Attributes:
        reported: Whether its worker said so; False where the server gave the stage up, so that a report that comes
            late is not taken for one that was recorded.
    """

    number: int
    stage_id: str
    error: StageError
    reported: bool = True


@dataclass(frozen=True, slots=True)
class StageRetryScheduled:
    """A try failed and the policy allows another one after ``delay``."""

    number: int
    stage_id: str
    error: StageError
    attempt: int
    delay: timedelta
    available_at: datetime


@dataclass(frozen=True, slots=True)
class StageRequeued:
    """A lease ended with no outcome; the job waits for another worker, at no attempt's cost.

    Attributes:
        reason: ``undelivered``, ``returned`` or ``lease_expired``.
        counted: Whether the hand-over counts as a delivery; it does not when the worker surely never began.
    """

    number: int
    stage_id: str
    reason: str
    counted: bool


@dataclass(frozen=True, slots=True)
class StageCancelled:
    """The run was cancelled before the stage had ended."""

    number: int
    stage_id: str


RunEvent = RunCreated | RunStarted | RunAdvanced | RunCompleted | RunFailed | RunCancelled
StageEvent = (
    StageScheduled
    | StageStarted
    | StageProgressed
    | StageCompleted
    | StageFailed
    | StageRetryScheduled
    | StageRequeued
    | StageCancelled
)
Event = RunEvent | StageEvent
