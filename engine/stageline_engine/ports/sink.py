"""Where the outbox's events go."""

from collections.abc import Sequence
from typing import Protocol

from stageline_engine.records import EventRow


class EventSink(Protocol):
    """A receiver of events. Delivery is at least once, in order per run."""

    async def emit(self, events: Sequence[EventRow]) -> int:
        """Takes consecutive events of one run.

        Returns:
            How many were taken, from the first on; the rest will come again.

        Raises:
            Exception: Anything raised means that none were taken; they will come again.
        """
        ...
