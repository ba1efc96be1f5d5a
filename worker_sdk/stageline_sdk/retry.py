"""How often a failed stage is tried again, and how long its work may take."""

from dataclasses import dataclass
from datetime import timedelta

from stageline_sdk._limits import (
    ATTEMPTS_MAX,
    BACKOFF_FACTOR_MAX,
    ERROR_TYPE_LENGTH_MAX,
    ERROR_TYPES_MAX,
    HEARTBEAT_MIN,
    RETRY_BACKOFF_MAX,
    TIMEOUT_MAX,
)
from stageline_sdk.errors import DefinitionError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When and how often a failed stage is tried again.

    The wait before attempt n + 1 is `initial_backoff * backoff_factor ** (n - 1)`, at most `max_backoff`, then changed
    by `jitter`. Waits are kept by the server: they survive restarts of everything. A stage that raises
    `NonRetryableError` is not tried again; one that raises `RetryableError` may ask for a longer wait.

    Raises:
        DefinitionError: A field is out of its range.
    """

    max_attempts: int = 3
    """Tries in all, the first one included; 1 means no retry. From 1 to 100. Default 3."""

    initial_backoff: timedelta = timedelta(seconds=2)
    """Wait before the second attempt. Zero means at once. At most `max_backoff`. Default 2 seconds."""

    max_backoff: timedelta = timedelta(minutes=5)
    """The longest wait between two attempts, before jitter. At most a day. Default 5 minutes."""

    backoff_factor: float = 2.0
    """How much each wait grows over the one before. From 1, which keeps it constant, to 10. Default 2."""

    jitter: float = 0.1
    """Spread of the wait, which is multiplied by a random number between 1 - jitter and 1 + jitter, so that many failures
    do not come back at once. From 0 to 1. Default 0.1."""

    non_retryable_error_types: tuple[str, ...] = ()
    """Names of exception classes that are final at once, as in `("FileNotFoundError", "httpx.InvalidURL")`: the bare name
    of Python's own, else module and name. Compared exactly. At most 100. Default none."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_attempts <= ATTEMPTS_MAX:
            raise DefinitionError(
                f"RetryPolicy.max_attempts must be 1 to {ATTEMPTS_MAX}, got {self.max_attempts}"
            )
        if not timedelta(0) <= self.max_backoff <= RETRY_BACKOFF_MAX:
            raise DefinitionError(
                f"RetryPolicy.max_backoff must be 0 to {RETRY_BACKOFF_MAX}, got {self.max_backoff}"
            )
        if not timedelta(0) <= self.initial_backoff <= self.max_backoff:
            raise DefinitionError(
                f"RetryPolicy.initial_backoff must be 0 to max_backoff ({self.max_backoff}), got {self.initial_backoff}"
            )
        if not 1 <= self.backoff_factor <= BACKOFF_FACTOR_MAX:
            raise DefinitionError(
                f"RetryPolicy.backoff_factor must be 1 to {BACKOFF_FACTOR_MAX:g}, got {self.backoff_factor}"
            )
        if not 0 <= self.jitter <= 1:
            raise DefinitionError(f"RetryPolicy.jitter must be 0 to 1, got {self.jitter}")
        _check_error_types(self.non_retryable_error_types)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimeouts:
    """Limits of time for one stage. The server's clock decides, and it tells the worker to stop.

    Raises:
        DefinitionError: A field is out of its range.
    """

    schedule_to_start: timedelta | None = None
    """From ready until a worker takes it; retries start it anew. At most 366 days. None, the default: no limit."""

    start_to_close: timedelta | None = None
    """From the worker's receipt until its report, for each attempt. At most 366 days. None: the default, 10 minutes."""

    heartbeat: timedelta | None = None
    """Longest silence of a running attempt, where each `ctx.progress()` breaks the silence. At least a second. None,
    the default: the life of the worker's session is enough."""

    def __post_init__(self) -> None:
        _check_timeout("schedule_to_start", self.schedule_to_start)
        _check_timeout("start_to_close", self.start_to_close)
        _check_timeout("heartbeat", self.heartbeat, at_least=HEARTBEAT_MIN)


def _check_timeout(field: str, value: timedelta | None, *, at_least: timedelta = timedelta(0)) -> None:
    if value is None:
        return
    if value <= timedelta(0) or value < at_least or value > TIMEOUT_MAX:
        lowest = f"at least {at_least}" if at_least else "longer than zero"
        raise DefinitionError(
            f"StageTimeouts.{field} must be {lowest} and at most {TIMEOUT_MAX.days} days, got {value}"
        )


def _check_error_types(names: object) -> None:
    field = "RetryPolicy.non_retryable_error_types"
    if not isinstance(names, tuple):
        raise DefinitionError(f"{field} must be a tuple of names, as in ('ValueError',), got {names!r}")
    if len(names) > ERROR_TYPES_MAX:
        raise DefinitionError(f"{field} may hold {ERROR_TYPES_MAX} names, got {len(names)}")
    for name in names:
        if not isinstance(name, str):
            raise DefinitionError(f"{field} holds names of exception classes, not {name!r}")
        if not 1 <= len(name) <= ERROR_TYPE_LENGTH_MAX:
            raise DefinitionError(
                f"{field}: a name has 1 to {ERROR_TYPE_LENGTH_MAX} characters, got {len(name)}"
            )
