"""A clock that stands still until it is told to move."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
"""Where a virtual clock begins, unless it is told otherwise: far from any real time, so that a mix-up shows."""


class VirtualClock:
    """The Clock port for tests."""

    def __init__(self, start: datetime = EPOCH) -> None:
        """Takes the first time, with its zone.

        Raises:
            ValueError: The time has no zone.
        """
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
        self._now += by
        return self._now

    def set(self, now: datetime) -> None:
        """Moves to any time, also an earlier one.

        Raises:
            ValueError: The time has no zone.
        """
        if now.tzinfo is None:
            raise ValueError(f"{now} has no time zone")
        self._now = now
