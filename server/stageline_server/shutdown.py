"""The server's end, told to whoever must not outlive it."""

import asyncio
import contextlib
from collections.abc import Awaitable
from datetime import timedelta

from stageline_server.errors import Refusal, RefusedError


class Shutdown:
    """Whether the server drains. Streams that would wait longer end with SHUTTING_DOWN, so that clients go elsewhere."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether the server drains."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Says that the server drains."""
        self._begun.set()

    async def wait(self) -> None:
        """Waits until the server drains."""
        await self._begun.wait()

    async def within(self, interval: timedelta) -> None:
        """Waits until the server drains, but no longer than an interval."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._begun.wait(), interval.total_seconds())

    def check(self) -> None:
        """Does nothing while the server serves.

        Raises:
            RefusedError: It drains. SHUTTING_DOWN.
        """
        if self.begun:
            raise RefusedError(Refusal("SHUTTING_DOWN", "The server shuts down. Connect again."))

    async def first(self, signal: Awaitable[object], within: timedelta | None = None) -> None:
        """Waits for a signal, but no longer than until the server drains or the time is over.

        Args:
            signal: What is waited for; cancelled when something else comes first.
            within: The longest wait; None means no limit.
        """
        tasks = [asyncio.ensure_future(signal), asyncio.ensure_future(self._begun.wait())]
        limit_seconds = None if within is None else within.total_seconds()
        try:
            await asyncio.wait(tasks, timeout=limit_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
