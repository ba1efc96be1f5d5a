"""What can happen. Deciders propose these values; ``apply`` alone turns them into new state.

Most are also told to the outside: ``publish.py`` says which, under what name and with what payload.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct, field

from stageline_engine.model.ai_call import AiCallRow
from stageline_engine.model.job import JobKind
from stageline_engine.model.run import RunError, RunRow
from stageline_engine.model.submission import SubmissionRow


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
class Annotation:
    """One remark. The id is the client's: a repeat of the same id in the same run changes nothing.

    Attributes:
        id: Unique in the run.
        key: Dotted path, such as ``decision.outcome``.
        value: JSON text.
        details: JSON text of an object, or empty.
        scope: ``run``, ``stage``, ``ai_call`` or a word of the user's.
        scope_id: What in that scope; may be empty.
        actor_kind: Who said it: ``human``, ``agent``, ``system`` or a word of the user's; may be empty.
        actor_id: Which one.
        actor_version: Of which version.
        emit_event: Whether watchers are told.
        stage_number: The stage it was said in; 0 for the run itself.
        generation: The stage's generation; 0 for the run itself.
        attempt: The stage's attempt; 0 for the run itself.
    """

    id: str
    key: str
    value: str
    details: str = ""
    scope: str = "run"
    scope_id: str = ""
    actor_kind: str = ""
    actor_id: str = ""
    actor_version: str = ""
    emit_event: bool = False
    stage_number: int = 0
    generation: int = 0
    attempt: int = 0


class RunCreated(Struct, frozen=True):
    """A run was accepted. Carries the row and what never changes of it."""

    run: RunRow
    input: str
    config: str
    labels: Mapping[str, str] = field(default_factory=dict)


class RunStarted(Struct, frozen=True):
    """The run left PENDING; where it has a time-out, it fails at ``deadline_at``."""

    deadline_at: datetime | None = None


class RunAdvanced(Struct, frozen=True):
    """A group became ready; its stages are scheduled by the events that follow."""

    group: int
    stage_ids: tuple[str, ...]


class RunCompleted(Struct, frozen=True):
    """The last group is complete.

    Attributes:
        outputs: JSON text of each stage of the last group by id, or None where they are too large to be told.
    """

    outputs: Mapping[str, str] | None


class RunFailed(Struct, frozen=True):
    """Every stage of the group has ended and at least one has failed for good."""

    error: RunError


class RunCancelled(Struct, frozen=True):
    """Somebody cancelled the run; its stages' cancellations follow."""

    reason: str


class RunRerun(Struct, frozen=True):
    """An ended run begins again from a group on. The old stages from there on are discarded by events that follow."""

    from_stage_id: str
    group: int
    generation: int
    reason: str
    deadline_at: datetime | None
    config: str | None


class AnnotationAdded(Struct, frozen=True):
    """Somebody said something about the run, a stage of it, or a call."""

    annotation: Annotation


class StageScheduled(Struct, frozen=True):
    """A stage became ready: its row and its job begin to exist."""

    number: int
    stage_id: str
    group: int
    route_id: int
    generation: int = 1
    deadline_at: datetime | None = None


class StageDiscarded(Struct, frozen=True):
    """A rerun takes a stage execution of an older generation away; its annotations and its events stay."""

    number: int
    stage_id: str


class StageStarted(Struct, frozen=True):
    """A job was leased to a session."""

    number: int
    stage_id: str
    stage_name: str
    kind: JobKind
    attempt: int
    delivery: int
    lease_token: UUID
    session_id: UUID
    deadline_at: datetime | None = None


class CheckStarted(Struct, frozen=True):
    """The check of a suspended stage was leased to a session. The stage stays suspended."""

    number: int
    stage_id: str
    lease_token: UUID
    session_id: UUID


class StageProgressed(Struct, frozen=True):
    """A worker told how far it is. Changes no state; fraction is 0 to 1, or None where it was not said."""

    number: int
    stage_id: str
    fraction: float | None
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    deadline_at: datetime | None = None


class ResumeCondition(Struct, frozen=True):
    """A single-use token by which the outside may end a wait; only its SHA-256 is ever stored.

    Attributes:
        token_sha256: 32 bytes.
        label: What is waited for, for people.
        expires_at: Until when the token is good; None means as long as the stage waits.
    """

    token_sha256: bytes
    label: str = ""
    expires_at: datetime | None = None


class StageSuspended(Struct, frozen=True):
    """The stage gave up its worker and waits for something outside.

    Attributes:
        state: JSON text that each check is given.
        check_at: When the first check is due; the end of the wait where it is never polled.
        poll_interval: Time between two checks, unless a check says another.
        wait_until: When the wait fails.
        conditions: What else may end it.
    """

    number: int
    stage_id: str
    state: str
    check_at: datetime
    poll_interval: timedelta
    wait_until: datetime
    conditions: tuple[ResumeCondition, ...] = ()


class StageStillWaiting(Struct, frozen=True):
    """A check found nothing yet. ``state`` replaces the suspended state where it is not None."""

    number: int
    stage_id: str
    check_at: datetime
    state: str | None


class CheckRequested(Struct, frozen=True):
    """Somebody outside asked for the check to be made now."""

    number: int
    stage_id: str


class RestoredWait(Struct, frozen=True):
    """How the wait of a suspended stage goes on: its next check, the time between two, and its end."""

    check_at: datetime
    poll_interval: timedelta
    wait_until: datetime


class JobRestored(Struct, frozen=True):
    """A repair: an open stage had no job. It never happens in health.

    Attributes:
        wait: Of a suspended stage; None for one that is to be run.
        deadline_at: When one that is to be run must have been leased; None means no limit.
    """

    number: int
    stage_id: str
    route_id: int
    wait: RestoredWait | None = None
    deadline_at: datetime | None = None


class StageCompleted(Struct, frozen=True):
    """A worker's output was accepted.

    Attributes:
        output: JSON text.
        metrics: Numbers that the stage reported.
        reported: Whether its worker said so; False where the outside did.
    """

    number: int
    stage_id: str
    output: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    reported: bool = True


class StageFailed(Struct, frozen=True):
    """The stage has failed for good.

    Attributes:
        reported: Whether its worker said so; False where the server gave the stage up, so that a report that comes
            late is not taken for one that was recorded.
    """

    number: int
    stage_id: str
    error: StageError
    reported: bool = True


class StageRetryScheduled(Struct, frozen=True):
    """A try failed and the policy allows another one after ``delay``; ``reported`` as in ``StageFailed``."""

    number: int
    stage_id: str
    error: StageError
    attempt: int
    delay: timedelta
    available_at: datetime
    deadline_at: datetime | None = None
    reported: bool = True


class StageRequeued(Struct, frozen=True):
    """A lease ended with no outcome; the job waits for another worker, at no attempt's cost.

    Attributes:
        reason: ``undelivered``, ``returned`` or ``lease_expired``.
        counted: Whether the hand-over counts as a delivery; it does not when the worker surely never began.
    """

    number: int
    stage_id: str
    reason: str
    counted: bool
    deadline_at: datetime | None = None


class StageCancelled(Struct, frozen=True):
    """The run was cancelled before the stage had ended."""

    number: int
    stage_id: str


class AiCallBooked(Struct, frozen=True):
    """An AI call was booked to the run, whatever state it is in: what was spent is spent."""

    call: AiCallRow
    closes: bool = False


class SubmissionChanged(Struct, frozen=True):
    """How far something is that a stage submits elsewhere, as it is on record from now on."""

    submission: SubmissionRow


class OrphanSuspected(Struct, frozen=True):
    """A worker says that something may have been submitted elsewhere, and that nobody can ask there."""

    stage_id: str
    key: str
    generation: int
    attempt: int


RunEvent = (
    RunCreated
    | RunStarted
    | RunAdvanced
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunRerun
    | AnnotationAdded
    | AiCallBooked
    | SubmissionChanged
    | OrphanSuspected
)
StageEvent = (
    StageScheduled
    | StageDiscarded
    | CheckStarted
    | StageSuspended
    | StageStillWaiting
    | CheckRequested
    | JobRestored
    | StageStarted
    | StageProgressed
    | StageCompleted
    | StageFailed
    | StageRetryScheduled
    | StageRequeued
    | StageCancelled
)
Event = RunEvent | StageEvent
