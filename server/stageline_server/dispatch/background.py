"""A task that runs for as long as its server does."""

import asyncio
from abc import ABC, abstractmethod


class Background(ABC):
    """Something that works by itself between ``start`` and ``stop``."""

    def __init__(self, name: str) -> None:
        """Takes the name of the task, for logs and debuggers."""
        self.name = name
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to work."""
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """Stops at once, in the middle of whatever it does. Safe to call when it was never started."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @abstractmethod
    async def _run(self) -> None:
        """The work, without end."""
