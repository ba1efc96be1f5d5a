"""What a stage of mode `async-batch` says when its work goes on elsewhere."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from stageline_sdk._limits import POLL_INTERVAL_MIN, WAIT_MAX
from stageline_sdk.errors import DefinitionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """Return it from an async-batch stage: the work goes on elsewhere, ask again later. Nothing waits in memory.

    The state is stored by the server and handed to the stage's check function. Never put secrets in it.

    Raises:
        DefinitionError: An interval is out of its range.
    """

    state: Any = field(default_factory=dict)
    """What the check function needs to find the work again: a pydantic model or anything else that JSON can show.
    Default: an empty object."""

    poll_interval: timedelta = timedelta(seconds=30)
    """Wait before each check. From 1 second to 366 days. Default 30 seconds."""

    max_wait: timedelta = timedelta(days=1)
    """When the stage fails, if the work is still not done, counted from now. At most 366 days. Default a day."""

    first_check: timedelta | None = None
    """Wait before the first check. At most 366 days. Default: the poll interval."""

    never_poll: bool = False
    """True: no checks; only a token of `ctx.resume_token()`, or the end of `max_wait`, ends the wait. Needs a token."""

    def __post_init__(self) -> None:
        _check_interval("Suspended.poll_interval", self.poll_interval)
        _check_interval("Suspended.max_wait", self.max_wait)
        if self.first_check is not None and not timedelta(0) <= self.first_check <= WAIT_MAX:
            raise DefinitionError(
                f"Suspended.first_check must be 0 to {WAIT_MAX.days} days, got {self.first_check}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StillWaiting:
    """Return it from a check function: the work is not done yet.

    Raises:
        DefinitionError: `next_check` is out of its range.
    """

    next_check: timedelta | None = None
    """Wait before the next check. From 1 second to 366 days. Default: the poll interval of the suspension."""

    state: Any = None
    """What replaces the state of the suspension. Default: it stays."""

    def __post_init__(self) -> None:
        if self.next_check is not None:
            _check_interval("StillWaiting.next_check", self.next_check)


def _check_interval(field: str, value: timedelta) -> None:
    if not POLL_INTERVAL_MIN <= value <= WAIT_MAX:
        raise DefinitionError(f"{field} must be {POLL_INTERVAL_MIN} to {WAIT_MAX.days} days, got {value}")
