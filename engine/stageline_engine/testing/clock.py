"""A clock that stands still until it is told to move."""

import asyncio
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
"""Where a virtual clock begins, unless it is told otherwise: far from any real time, so that a mix-up shows."""


class VirtualClock:
    """The Clock port for tests, and the Scheduler port with it: who waits for a time is woken when it is moved there.

    It may be moved from any thread; who waits is woken on the loop that the wait is on.
    """

    def __init__(self, start: datetime = EPOCH) -> None:
        """Takes the first time, with its zone.

        Raises:
            ValueError: The time has no zone.
        """
        self._waiting: set[_Waiting] = set()
        self.set(start)

    def now(self) -> datetime:
        """Returns the present time."""
        return self._now

    async def refresh(self) -> None:
        """Does nothing: there is no other source of this time."""

    def advance(self, by: timedelta) -> datetime:
        """Moves forward and returns the new time.

        Raises:
            ValueError: The step is negative; only ``set`` goes back.
        """
        if by < timedelta():
            raise ValueError(f"a clock advances; a step of {by} goes back")
        self.set(self._now + by)
        return self._now

    def set(self, now: datetime) -> None:
        """Moves to any time, also an earlier one.

        Raises:
            ValueError: The time has no zone.
        """
        if now.tzinfo is None:
            raise ValueError(f"{now} has no time zone")
        self._now = now
        self._wake()

    def _wake(self) -> None:
        for waiting in list(self._waiting):
            if waiting.moment <= self._now:
                self._waiting.discard(waiting)
                waiting.wake()

    @property
    def next_wait(self) -> datetime | None:
        """The earliest time that anybody waits for."""
        return min((waiting.moment for waiting in list(self._waiting)), default=None)

    async def wait_until(self, moment: datetime) -> None:
        """Returns when the clock was moved to this time or beyond."""
        waiting = _Waiting(moment)
        self._waiting.add(
            waiting
        )  # before the look: a move from another thread sees the one or is seen by the other
        try:
            if moment > self._now:
                await waiting.woken.wait()
        finally:
            self._waiting.discard(waiting)


class _Waiting:
    """One wait, and the loop that it is on."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment
        self.woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self.woken.set)
