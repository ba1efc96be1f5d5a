"""Every error that the SDK raises, as a tree. Catch as high or as low as you need.

    StagelineError
    ├── DefinitionError               a stage or workflow is put together wrongly; raised before anything runs
    │   ├── InvalidStageIdError       an id that breaks the rule for ids
    │   ├── DuplicateStageIdError     two stages of one workflow share an id
    │   ├── EmptyWorkflowError        a workflow without a stage
    │   ├── EmptyGroupError           `parallel()` without a stage
    │   ├── TooManyStagesError        more stages than a workflow or a group may hold
    │   ├── UnknownDependencyError    a dependency that is missing, later, or in the same group
    │   ├── IncompatibleSchemaError   a stage cannot read what the stages before it write
    │   └── MissingCheckError         an async-batch stage without a check function, or a check without the mode
    ├── UnknownStageError             a stage id that this workflow does not have
    ├── ConfigError                   config that the stages' models refuse; carries all violations
    ├── StageError                    raised by or to code inside a stage
    │   ├── MissingOutputError        `ctx.require()` of an output that is not there
    │   ├── NonRetryableError         raise it: fail for good, whatever the retry policy says
    │   │   └── SuspectedOrphanError  it may have been submitted before, and nobody can say
    │   ├── RetryableError            raise it: try again, after a wait of your choice
    │   ├── StageExitError            the stage called `sys.exit()`: it fails, the worker goes on
    │   └── StageCancelledError       the run was cancelled, timed out or superseded while the stage ran
    └── ApiError                      the server refused a call, or could not be reached
        ├── InvalidArgumentError      a field is wrong; see `field_violations`
        ├── NotFoundError             no such run, workflow or stage
        ├── AlreadyExistsError        the id or request id is taken by something else
        ├── FailedPreconditionError   right call, wrong moment: the state forbids it
        ├── AbortedError              lost a race with another call; safe to try again
        ├── ResourceExhaustedError    a limit is reached; the message names it
        ├── UnauthenticatedError      no token, or one that is not valid
        ├── PermissionDeniedError     the token may not do this
        ├── UnavailableError          the server is not reachable, or is draining
        ├── DeadlineExceededError     no answer in time; the call may still have had its effect
        ├── UnsupportedError          this server does not have that call: it is older than the SDK
        └── InternalError             a defect on the server's side

Messages say what to do next. Facts that a program needs are attributes, never only text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType


class StagelineError(Exception):
    """The root of all errors of this package."""


# Definitions


class DefinitionError(StagelineError):
    """A stage or a workflow is put together wrongly."""


class InvalidStageIdError(DefinitionError, ValueError):
    """An id that breaks the rule for ids.

    Attributes:
        id: The id as given.
    """

    def __init__(self, message: str, *, id: str) -> None:  # noqa: A002 - the attribute's name, as users read it
        super().__init__(message)
        self.id = id


class DuplicateStageIdError(DefinitionError):
    """Two stages of one workflow share an id.

    Attributes:
        stage_id: The id that is used twice.
    """

    def __init__(self, message: str, *, stage_id: str) -> None:
        super().__init__(message)
        self.stage_id = stage_id


class EmptyWorkflowError(DefinitionError):
    """A workflow was built without any stage."""


class EmptyGroupError(DefinitionError):
    """`parallel()` was called without a stage."""


class TooManyStagesError(DefinitionError):
    """A workflow or a group holds more stages than allowed.

    Attributes:
        count: How many there are.
        limit: How many there may be.
    """

    def __init__(self, message: str, *, count: int, limit: int) -> None:
        super().__init__(message)
        self.count = count
        self.limit = limit


class UnknownDependencyError(DefinitionError):
    """A stage depends on stages that are not in an earlier group.

    Attributes:
        stage_id: The stage that has the dependency.
        missing: The ids that no earlier group has.
        available: The ids that the earlier groups have.
    """

    def __init__(
        self, message: str, *, stage_id: str, missing: Sequence[str], available: Sequence[str]
    ) -> None:
        super().__init__(message)
        self.stage_id = stage_id
        self.missing = tuple(missing)
        self.available = tuple(available)


class IncompatibleSchemaError(DefinitionError):
    """A stage cannot read what the stages before it write.

    Attributes:
        stage_id: The stage whose input does not fit.
        problems: One line for each field that does not fit.
    """

    def __init__(self, message: str, *, stage_id: str, problems: Sequence[str]) -> None:
        super().__init__(message)
        self.stage_id = stage_id
        self.problems = tuple(problems)


class MissingCheckError(DefinitionError):
    """An async-batch stage has no check function, or a stage of another mode has one.

    Attributes:
        stage_id: The stage in question.
    """

    def __init__(self, message: str, *, stage_id: str) -> None:
        super().__init__(message)
        self.stage_id = stage_id


class UnknownStageError(StagelineError, KeyError):
    """A stage id that this workflow does not have.

    Attributes:
        stage_id: The id that was asked for.
        available: The ids that exist.
    """

    def __init__(self, message: str, *, stage_id: str, available: Sequence[str]) -> None:
        super().__init__(message)
        self.stage_id = stage_id
        self.available = tuple(available)

    def __str__(self) -> str:
        """Return the message plainly; KeyError alone would show it in quotes."""
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is at fault.

    Attributes:
        field: Where, as a path such as `config.extract-text.max_length` or `items[3].price`; empty for the whole value.
        description: What is wrong with it, in words.
    """

    field: str
    description: str

    def __str__(self) -> str:
        """Return `field: description`."""
        return f"{self.field}: {self.description}" if self.field else self.description


class ConfigError(StagelineError, ValueError):
    """A run's config does not fit the stages' config models.

    Attributes:
        violations: Every violation of every stage, in the order of the stages.
    """

    def __init__(self, message: str, *, violations: Sequence[FieldViolation]) -> None:
        super().__init__(message)
        self.violations = tuple(violations)


# Inside a stage


class StageError(StagelineError):
    """Raised by, or to, code inside a stage."""


class MissingOutputError(StageError, LookupError):
    """`ctx.require()` asked for an output that no earlier stage of this run has left.

    It is final: another attempt would see the same outputs.

    Attributes:
        stage_id: The stage whose output was asked for.
        available: The stages whose outputs exist.
    """

    def __init__(self, message: str, *, stage_id: str, available: Sequence[str]) -> None:
        super().__init__(message)
        self.stage_id = stage_id
        self.available = tuple(available)


class NonRetryableError(StageError):
    """Raise it in a stage to fail for good: the retry policy is not asked.

    Example:
        raise NonRetryableError("the document is encrypted")
    """


class RetryableError(StageError):
    """Raise it in a stage to be tried again, after a wait of your choice.

    It still counts as an attempt: when the retry policy allows no more of them, the stage fails.

    Attributes:
        retry_after: How long to wait before the next attempt, at least zero. None leaves it to the retry policy.

    Example:
        raise RetryableError("rate limited", retry_after=timedelta(seconds=30))
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        if retry_after is not None and retry_after < timedelta(0):
            raise ValueError(f"retry_after must not be negative, got {retry_after}")
        super().__init__(message)
        self.retry_after = retry_after


class SuspectedOrphanError(NonRetryableError):
    """An earlier try may have submitted something elsewhere, and the provider cannot be asked whether it has it.

    The stage fails for good, rather than pay twice, and its run shows the submission as SUSPECTED. Look for the key at the
    provider; then run the stage again with `client.rerun_run`, which submits under a new key.

    Attributes:
        key: What the provider was given to know it by.
    """

    def __init__(self, key: str) -> None:
        super().__init__(
            f"an earlier try may have submitted {key!r}, and there is no look_up to ask the provider: look for it "
            "there, then rerun the stage"
        )
        self.key = key


class StageExitError(StageError):
    """A stage called `sys.exit()`. That ends the stage, never the worker with its other jobs."""


class StageCancelledError(StageError):
    """The work is no longer wanted: the run was cancelled or timed out, or another worker has the job.

    Let it pass. Whatever the stage returns or raises from now on is discarded by the server.

    Attributes:
        reason: Why, as the server or the user said it; may be empty.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


# Calls to the server


class ApiError(StagelineError):
    """The server refused a call, or could not be reached.

    Attributes:
        message: What went wrong, in words; may change between releases.
        reason: The constant to branch on: a name of the `stageline.v1.ErrorReason` enum without its prefix, such as
            `RUN_NOT_FOUND`. Empty when the error did not come from a Stageline server.
        field_violations: The fields at fault, when fields are at fault.
        metadata: Facts about the error, such as the limit and the size that broke it.
        retryable: Whether the same call, with the same request id, may succeed later.
    """

    #: Whether errors of this kind may pass when tried again; an instance may know better.
    retryable_by_default = False

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        field_violations: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.field_violations = tuple(field_violations)
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self.retryable = self.retryable_by_default if retryable is None else retryable

    def __str__(self) -> str:
        """Return the reason and the message, then one line for each field at fault."""
        head = f"{self.reason}: {self.message}" if self.reason else self.message
        return "\n".join([head, *(f"  - {violation}" for violation in self.field_violations)])


class InvalidArgumentError(ApiError, ValueError):
    """A field of the call is wrong; `field_violations` names each."""


class NotFoundError(ApiError, LookupError):
    """There is no such run, workflow or stage in this namespace."""


class AlreadyExistsError(ApiError):
    """The id, or the request id, is already taken by something else."""


class FailedPreconditionError(ApiError):
    """The call is right but the state forbids it, such as to cancel a run that has ended."""


class AbortedError(ApiError):
    """The call lost a race with another one; try again with the same request id."""

    retryable_by_default = True


class ResourceExhaustedError(ApiError):
    """A limit is reached. Sizes and quotas do not heal by themselves: it is not retried unless the server says so."""


class UnauthenticatedError(ApiError):
    """The call carried no token, or one that is not valid."""


class PermissionDeniedError(ApiError):
    """The token is valid but may not do this."""


class UnavailableError(ApiError, ConnectionError):
    """The server cannot be reached, or is draining. Is it running at the address you gave?"""

    retryable_by_default = True


class DeadlineExceededError(ApiError, TimeoutError):
    """No answer came in time. The call may have had its effect: repeat it with the same request id."""

    retryable_by_default = True


class UnsupportedError(ApiError):
    """The server does not have this call: it is older than the SDK."""


class InternalError(ApiError):
    """A defect on the server's side; its log has the trace."""
