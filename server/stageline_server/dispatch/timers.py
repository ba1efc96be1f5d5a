"""The one shape of what a server does by itself: a step, called when a hint says so, at its exact time, and by a steady pace."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

from stageline_engine.errors import EngineError
from stageline_engine.ports import Clock, Scheduler
from stageline_server.dispatch.background import Background
from stageline_server.dispatch.ports import Ports

_log = logging.getLogger(__name__)

FAILURE_PAUSE_SECONDS = 0.5
"""Wait before a failed step is tried again that has no pace of its own."""


class Alarm(Background):
    """Calls a step at the earliest time that it was set to, and at a steady pace if it has one. A step that fails comes again."""

    def __init__(
        self,
        step: Callable[[], Awaitable[datetime | None]],
        clock: Clock,
        scheduler: Scheduler,
        *,
        name: str,
        every: timedelta | None = None,
    ) -> None:
        """Takes the step, which is also called once at the start.

        Args:
            step: What to do. It may say when it wants to be called next.
            clock: The time that it is set by.
            scheduler: Wakes at a time of that clock.
            name: For logs and debuggers.
            every: The longest from the end of one step to the start of the next, in real time: housekeeping whose pace is the
                machine's, whatever the clock says. None: it is called when it was set only.
        """
        super().__init__(name)
        self._every_seconds = None if every is None else every.total_seconds()
        self._step = step
        self._clock = clock
        self._scheduler = scheduler
        self._next: datetime | None = None
        self._changed = asyncio.Event()

    def set_no_later_than(self, moment: datetime) -> None:
        """Makes sure that the step is called at this time or before."""
        if self._next is None or moment < self._next:
            self._next = moment
            self._changed.set()

    @property
    def is_settled(self) -> bool:
        """Whether it waits for the time that was set last, and not for an earlier idea of it."""
        return not self._changed.is_set()

    async def _run(self) -> None:
        while True:
            self._next = None
            try:
                wanted = await self._step()
            except EngineError:
                _log.warning("%s failed; trying again", self.name, exc_info=True)
                await asyncio.sleep(self._every_seconds or FAILURE_PAUSE_SECONDS)
                continue
            if wanted is not None:
                self.set_no_later_than(wanted)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_seconds):
                    await self._wait()

    async def _wait(self) -> None:
        """Waits for the time that is set, which may be set earlier meanwhile."""
        while True:
            self._changed.clear()
            if self._next is None:
                await self._changed.wait()
            elif self._next <= self._clock.now() or await self._reached(self._next):
                return

    async def _reached(self, moment: datetime) -> bool:
        """Waits for a time; False where an earlier one was set before it came."""
        due = asyncio.ensure_future(self._scheduler.wait_until(moment))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({due, changed}, return_when=asyncio.FIRST_COMPLETED)
            return due.done()
        finally:
            due.cancel()
            changed.cancel()
            await asyncio.gather(due, changed, return_exceptions=True)


def chore(ports: Ports, step: Callable[[], Awaitable[None]], name: str, *, every: timedelta) -> Alarm:
    """Makes an alarm of housekeeping, which has a pace; see ``Alarm``."""
    return Alarm(step, ports.clock, ports.scheduler, name=name, every=every)
