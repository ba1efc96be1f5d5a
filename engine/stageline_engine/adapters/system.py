"""Time, ids and chance from the operating system."""

import asyncio
import secrets
from datetime import UTC, datetime
from uuid import UUID

import uuid_utils.compat

from stageline_engine.ports import Clock


class SystemIds:
    """UUIDv7 ids that grow within one process, random tokens."""

    def __init__(self) -> None:
        """Needs nothing."""
        self._random = secrets.SystemRandom()

    def new_id(self) -> UUID:
        """Returns a UUIDv7."""
        return uuid_utils.compat.uuid7()

    def new_token(self) -> UUID:
        """Returns a UUIDv4 from the operating system's randomness."""
        return uuid_utils.compat.uuid4()

    def chance(self) -> float:
        """Returns a number from 0 to 1."""
        return self._random.random()


class SystemClock:
    """The Clock port on this machine's own clock, for a state that no other server shares."""

    def now(self) -> datetime:
        """Returns the present time."""
        return datetime.now(UTC)

    async def refresh(self) -> None:
        """Does nothing: there is no other source."""


class SystemScheduler:
    """The Scheduler port on the event loop's timers, for a clock that goes as fast as they do."""

    def __init__(self, clock: Clock) -> None:
        """Takes the clock, which may be set right while somebody waits."""
        self._clock = clock

    async def wait_until(self, moment: datetime) -> None:
        """Returns when the clock has reached this time."""
        while (left_seconds := (moment - self._clock.now()).total_seconds()) > 0:  # noqa: ASYNC110 - time itself is waited for
            await asyncio.sleep(left_seconds)


class NoopScheduler:
    """The Scheduler port of a host without timers: it never wakes. Whoever uses it looks for what is due by itself."""

    async def wait_until(self, moment: datetime) -> None:
        """Never returns."""
        await asyncio.Event().wait()
