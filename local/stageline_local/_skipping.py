"""Moves a virtual clock on by itself: to the next time that something is due, whenever nothing else can happen before."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from stageline_engine.testing import VirtualClock
from stageline_server.dispatch.background import Background
from stageline_server.dispatch.plane import ControlPlane

LOOK_PAUSE_SECONDS = 0.002
"""Wait between two looks at whether the plane is quiet: what a skip of any length costs in real time."""


class TimeSkipper(Background):
    """Skips time while somebody waits for a run. Else a test could never act between two times."""

    def __init__(self, plane: ControlPlane, clock: VirtualClock) -> None:
        """Takes the plane that must be quiet, and its clock; to be called on the plane's loop."""
        super().__init__("time skipper")
        self._plane = plane
        self._clock = clock
        self._waiting = 0

    @contextmanager
    def skipping(self) -> Iterator[None]:
        """Skips time for the length of the block; from any thread."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_PAUSE_SECONDS)
            if self._waiting and self._plane.is_quiet:
                await self._skip()

    async def _skip(self) -> None:
        """Moves to the next time that something is due.

        The rows are asked, since what an alarm was set for may have gone meanwhile: nobody would skip to the deadline of a
        wait that is over. What was set meanwhile counts too.
        """
        due_at = (await self._plane.due_work.step()).again_at
        alarm_at = self._clock.next_wait
        if due_at is not None and alarm_at is not None and self._waiting and self._plane.is_quiet:
            self._clock.set(max(min(due_at, alarm_at), self._clock.now()))
