"""Where events go."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from stageline_engine.records import EventRow, EventSource


class EventRefusedError(Exception):
    """A sink did not take an event. The message is kept with the event, for people."""

    def __init__(self, message: str, *, taken: int = 0) -> None:
        """Says why, and how many events of the same call were taken before it."""
        super().__init__(message)
        self.taken = taken


class EventSink(Protocol):
    """A receiver of events. Delivery is at least once, in order per run; calls for different runs overlap."""

    @property
    def time_limit(self) -> timedelta:
        """The longest that one call may take; the sink sees to it.

        A flusher that was not heard of for twice as long is taken for dead, and its events come again.
        """
        ...

    async def emit(self, source: EventSource, events: Sequence[EventRow]) -> int:
        """Takes consecutive events of one run.

        Returns:
            How many were taken, from the first on; the rest comes again at once.

        Raises:
            EventRefusedError: One was refused, which comes again after a wait.
            Exception: Anything else means that the first was refused.
        """
        ...
