"""Timers that are exact, and the slow housekeeping that nothing waits for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from stageline_engine.errors import EngineError
from stageline_engine.ports import Clock
from stageline_server.dispatch.background import Background

_log = logging.getLogger(__name__)

FAILURE_PAUSE_SECONDS = 0.5
"""Wait before a failed step is tried again."""


class Alarm(Background):
    """Calls a step at the earliest time that it was set to. The step says when it wants to be called next."""

    def __init__(self, step: Callable[[], Awaitable[datetime | None]], clock: Clock, *, name: str) -> None:
        """Takes the step, which is also called once at the start."""
        super().__init__(name)
        self._step = step
        self._clock = clock
        self._next: datetime | None = None
        self._changed = asyncio.Event()

    def set_no_later_than(self, moment: datetime) -> None:
        """Makes sure that the step is called at this time or before."""
        if self._next is None or moment < self._next:
            self._next = moment
            self._changed.set()

    async def _run(self) -> None:
        while True:
            self._next = None
            try:
                wanted = await self._step()
            except EngineError:
                _log.warning("%s failed; trying again", self.name, exc_info=True)
                wanted = self._clock.now() + timedelta(seconds=FAILURE_PAUSE_SECONDS)
            if wanted is not None:
                self.set_no_later_than(wanted)
            await self._wait()

    async def _wait(self) -> None:
        """Waits for the time that is set, which may be set earlier meanwhile."""
        while True:
            self._changed.clear()
            left = None if self._next is None else (self._next - self._clock.now()).total_seconds()
            if left is not None and left <= 0:
                return
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                return


class Loop(Background):
    """Calls a step at a steady interval. A step that fails is logged and comes again: none ends the loop."""

    def __init__(self, step: Callable[[], Awaitable[None]], interval: timedelta, *, name: str) -> None:
        """Takes the step and the time from the end of one to the start of the next."""
        super().__init__(name)
        self._step = step
        self._interval = interval.total_seconds()

    async def _run(self) -> None:
        while True:
            try:
                await self._step()
            except EngineError:
                _log.warning("%s failed; trying again", self.name, exc_info=True)
            await asyncio.sleep(self._interval)
