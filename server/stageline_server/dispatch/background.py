"""A task that runs for as long as its server does."""

import asyncio
import logging
from abc import ABC, abstractmethod

_log = logging.getLogger(__name__)

RESTART_PAUSE_SECONDS = 0.5
"""Wait before work that failed begins anew: a fault that stays fills no disk with its log."""


class Background(ABC):
    """Something that works by itself between ``start`` and ``stop``. It never dies in silence."""

    def __init__(self, name: str) -> None:
        """Takes the name of the task, for logs and debuggers."""
        self.name = name
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to work."""
        self._task = asyncio.create_task(self._live(), name=self.name)

    async def stop(self) -> None:
        """Stops at once, in the middle of whatever it does. Safe to call when it was never started."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _live(self) -> None:
        """Works, and begins anew after an error that nobody foresaw."""
        while True:
            try:
                await self._run()
                _log.error("%s ended by itself; it begins anew", self.name)
            except Exception:  # noqa: BLE001 - logged; a server without this work would look alive and be deaf
                _log.exception("%s failed; it begins anew", self.name)
            await asyncio.sleep(RESTART_PAUSE_SECONDS)

    @abstractmethod
    async def _run(self) -> None:
        """The work, without end. Called again after an error: what was lost in between must be looked for first."""
