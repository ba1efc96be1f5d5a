"""What a worker, or the outside, says of a stage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from stageline_engine.events import StageError


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


@dataclass(frozen=True, slots=True)
class SuspendCondition:
    """A token by which the outside may end a wait: its SHA-256, what is waited for, and how long it is good."""

    token_sha256: bytes
    label: str = ""
    expire_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Suspended:
    """The stage gives up its worker and waits for something outside.

    Attributes:
        state: UTF-8 JSON that each check is given.
        poll_interval: Between two checks; None means 30 s.
        wait_max: The longest wait from now on; None means 24 h.
        first_check_delay: Until the first check; None means one interval.
        never_poll: No checks at all: only a resume or the end of the wait ends it.
        conditions: What else may end the wait.
    """

    state: bytes = b"{}"
    poll_interval: timedelta | None = None
    wait_max: timedelta | None = None
    first_check_delay: timedelta | None = None
    never_poll: bool = False
    conditions: tuple[SuspendCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class StillWaiting:
    """A check found nothing yet.

    Attributes:
        next_check_delay: Until the next check; None means the stage's interval.
        state: Replaces the suspended state; None leaves it.
    """

    next_check_delay: timedelta | None = None
    state: bytes | None = None


Outcome = Completed | Failed | Returned | Suspended | StillWaiting
