"""What wakes at a time."""

from datetime import datetime
from typing import Protocol


class Scheduler(Protocol):
    """Wakes whoever waits for a time of the Clock.

    Nothing is stored here: what is due is in the rows, and each start looks there. So a scheduler may forget everything,
    and one that never wakes costs time, never a job.
    """

    async def wait_until(self, moment: datetime) -> None:
        """Returns when the clock has reached this time: never before, soon after. Cancelling the wait is safe."""
        ...
