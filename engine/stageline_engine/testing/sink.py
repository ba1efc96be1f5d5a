"""An event sink that keeps what it is given, and refuses where it is told to."""

from collections.abc import Callable, Sequence
from uuid import UUID

from stageline_engine.records import EventRow


class SinkRefusedError(Exception):
    """The collecting sink was told to refuse this event."""


class CollectingSink:
    """The EventSink port for tests.

    Attributes:
        taken: Every event in the order in which it was taken, repeats included.
        refuse: Says of an event whether it is refused now. The events before it in the same call are taken.
    """

    def __init__(self, refuse: Callable[[EventRow], bool] = lambda event: False) -> None:
        """Takes everything, or what ``refuse`` lets through."""
        self.taken: list[EventRow] = []
        self.refuse = refuse

    async def emit(self, events: Sequence[EventRow]) -> int:
        """Takes events up to the first that is refused.

        Raises:
            SinkRefusedError: The very first is refused.
        """
        count = next((index for index, event in enumerate(events) if self.refuse(event)), len(events))
        if events and not count:
            raise SinkRefusedError(f"told to refuse {events[0].type}")
        self.taken += events[:count]
        return count

    def of_run(self, run_id: UUID) -> list[EventRow]:
        """Returns what was taken of one run, in order."""
        return [event for event in self.taken if event.run_id == run_id]
