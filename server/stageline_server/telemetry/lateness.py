"""How late the event loop is: what every worker and caller of this server waits on top of all else."""

import asyncio
import time
from collections import deque

from stageline_server.dispatch.background import Background

LOOK_SECONDS = 0.5
KEPT_LOOKS = 120
"""A minute of looks, so that no scrape misses a bad moment since the one before."""


class LoopLateness(Background):
    """Sleeps, and sees how much later than asked it wakes."""

    def __init__(self) -> None:
        """Has seen nothing yet."""
        super().__init__("loop lateness")
        self._late: deque[float] = deque([0.0], maxlen=KEPT_LOOKS)

    @property
    def worst_seconds(self) -> float:
        """The greatest lateness in the last minute."""
        return max(self._late)

    async def _run(self) -> None:
        while True:
            due = time.monotonic() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            self._late.append(max(0.0, time.monotonic() - due))
