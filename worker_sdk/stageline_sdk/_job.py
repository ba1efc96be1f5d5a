"""One job as a worker hands it to a stage, free of the wire: values in, records out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from stageline_sdk._storage_requests import StorageRequest
from stageline_sdk.submissions import Submission

if TYPE_CHECKING:
    from stageline_sdk.ai.records import UsageRecord

JobKind = Literal["EXECUTE", "CHECK"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a stage is to be run with. JSON values are UTF-8 text.

    Attributes:
        run_id: The run.
        workflow_name: Its workflow.
        workflow_version: The version that the run is pinned to.
        stage_id: The stage.
        kind: Whether the stage is to be executed, or checked because it is suspended.
        attempt: 1 for the first try in this generation.
        delivery: How often the job was handed to a worker in this generation, this time included.
        generation: 1 for the first execution; one more at each rerun.
        deadline: When the attempt times out; None if it never does.
        input: The run's input, or the output of the group before.
        config: The run's config for this stage, over the stage's defaults.
        outputs: Outputs of earlier stages that came with the job, by stage id.
        stored_outputs: Ids of earlier stages whose outputs exist and are fetched when asked for.
        state: What the stage's suspension left, if it was suspended in this generation.
        submissions: What earlier attempts of this generation declared to have submitted elsewhere.
    """

    run_id: str
    workflow_name: str
    workflow_version: int
    stage_id: str
    kind: JobKind = "EXECUTE"
    attempt: int = 1
    delivery: int = 1
    generation: int = 1
    deadline: datetime | None = None
    input: bytes = b"null"
    config: bytes = b"{}"
    outputs: Mapping[str, bytes] = field(default_factory=dict)
    stored_outputs: frozenset[str] = frozenset()
    state: bytes | None = None
    submissions: tuple[Submission, ...] = ()


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One line that a stage logged.

    Attributes:
        level: How grave it is.
        message: The line.
        fields: Key-value details; JSON values.
    """

    level: LogLevel
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProgressUpdate:
    """How far a stage is.

    Attributes:
        fraction: Share done, 0 to 1.
        message: For people; may be empty.
        details: Key-value details; JSON values.
    """

    fraction: float
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnnotationRecord:
    """A note on the run that a stage made.

    Attributes:
        key: A dotted lower-case name, such as `decision.rationale`.
        value: Its value; a JSON value, not null.
        details: More about it; JSON values.
        emit_event: Whether an event tells of it.
    """

    key: str
    value: Any
    details: Mapping[str, Any] = field(default_factory=dict)
    emit_event: bool = False


class ContextSink(Protocol):
    """Where a stage's context sends what the stage says. Called from any thread; must not wait for the stage's loop."""

    def log(self, record: LogRecord) -> None:
        """Take a log line. Returns at once, never raises."""

    def progress(self, update: ProgressUpdate) -> None:
        """Take a progress update. Returns at once, never raises."""

    def annotate(self, annotation: AnnotationRecord) -> None:
        """Take an annotation, booked with the attempt's outcome. Returns at once, never raises."""

    def record_usage(self, record: "UsageRecord") -> None:
        """Take the record of an AI call, and keep it until the server has it. Returns at once, never raises."""

    def fetch_output(self, stage_id: str) -> bytes:
        """Return the output of an earlier stage as JSON text; blocks until it is there.

        Raises:
            ApiError: The server refused, or cannot be reached.
        """

    def store(self, request: StorageRequest) -> Any:
        """Carry out what a stage asks of its run's storage; blocks until it is done.

        Raises:
            ApiError: The server refused, or cannot be reached.
        """

    def submit(self, submission: Submission) -> None:
        """Put on record how far a submission is; blocks until it is.

        Raises:
            ApiError: The server refused, as the lease has ended, or cannot be reached.
        """


@dataclass(frozen=True, slots=True)
class Completed:
    """The stage returned an output that its type allows.

    Attributes:
        output: The output as JSON text.
    """

    output: bytes


@dataclass(frozen=True, slots=True)
class ResumeToken:
    """A token that a stage gave away, as the server is told of it.

    Attributes:
        sha256: SHA-256 of the token's text.
        label: What is waited for, for people.
        expire_after: How long it is good, from the suspension on; None for as long as the stage waits.
    """

    sha256: bytes
    label: str = ""
    expire_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class WaitsOutside:
    """The stage suspended: its work goes on elsewhere.

    Attributes:
        state: What its check function needs, as JSON text.
        poll_interval: Wait before each check.
        max_wait: When the stage fails, counted from now.
        first_check: Wait before the first check; None for the poll interval.
        never_poll: No checks: only one of the tokens ends the wait.
        tokens: Tokens that the stage gave away.
    """

    state: bytes
    poll_interval: timedelta
    max_wait: timedelta
    first_check: timedelta | None = None
    never_poll: bool = False
    tokens: tuple[ResumeToken, ...] = ()


@dataclass(frozen=True, slots=True)
class NotReady:
    """A check found that the work outside is not done.

    Attributes:
        next_check: Wait before the next check; None leaves it to the suspension's poll interval.
        state: What replaces the state of the suspension, as JSON text; None leaves it.
    """

    next_check: timedelta | None
    state: bytes | None = None


FailureKind = Literal["APPLICATION", "INVALID_INPUT", "INVALID_CONFIG", "INVALID_OUTPUT", "INTERNAL"]


@dataclass(frozen=True, slots=True)
class StageFailure:
    """The attempt failed.

    Attributes:
        kind: Who is at fault: a name of `stageline.v1.FailureKind` without its prefix.
        type: Name of the exception's class: bare for Python's own, else with its module.
        message: For people.
        stack: The stack trace, innermost call last; may be empty.
        retryable: Whether a retry can help, where that is known; None leaves it to the kind and the retry policy.
        retry_after: Wait before the next attempt, if the stage asked for one.
        exception: What was raised, where it was raised in this process; not sent.
    """

    kind: FailureKind
    type: str
    message: str
    stack: str = ""
    retryable: bool | None = None
    retry_after: timedelta | None = None
    exception: BaseException | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The stage stopped because its work was no longer wanted.

    Attributes:
        reason: Why, as `ctx.cancelled.reason` had it.
    """

    reason: str


Outcome = Completed | WaitsOutside | NotReady | StageFailure | Cancelled
