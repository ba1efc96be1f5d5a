"""An event sink that keeps what it is given, and refuses where it is told to."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

from stageline_engine.ports import EventRefusedError
from stageline_engine.records import EventRow, EventSource


class CollectingSink:
    """The EventSink port for tests.

    Attributes:
        taken: Every event in the order in which it was taken, repeats included.
        sources: Whose the events are, by run.
        refuse: Says of an event whether it is refused now. The events before it in the same call are taken.
        time_limit: As the port says.
    """

    def __init__(self, refuse: Callable[[EventRow], bool] = lambda event: False) -> None:
        """Takes everything, or what ``refuse`` lets through."""
        self.taken: list[EventRow] = []
        self.sources: dict[UUID, EventSource] = {}
        self.refuse = refuse
        self.time_limit = timedelta(seconds=30)

    async def emit(self, source: EventSource, events: Sequence[EventRow]) -> int:
        """Takes events up to the first that is refused.

        Raises:
            EventRefusedError: One was.
        """
        self.sources[source.run_id] = source
        for count, event in enumerate(events):
            if self.refuse(event):
                raise EventRefusedError(f"told to refuse {event.type}", taken=count)
            self.taken.append(event)
        return len(events)

    def of_run(self, run_id: UUID) -> list[EventRow]:
        """Returns what was taken of one run, in order."""
        return [event for event in self.taken if event.run_id == run_id]
