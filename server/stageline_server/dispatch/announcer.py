"""Sends hints to the other servers, as few as possible: while one is on its way, the next gathers."""

import asyncio
import logging
from uuid import UUID

from stageline_engine.commands import Effects, LeaseReference
from stageline_engine.errors import EngineError
from stageline_engine.ports import Hint, JobTransport
from stageline_server.dispatch.background import Background

_log = logging.getLogger(__name__)


class Announcer(Background):
    """Merges the effects of many batches into few hints."""

    def __init__(self, transport: JobTransport) -> None:
        """Takes the transport."""
        super().__init__("announcer")
        self._transport = transport
        self._pending: Hint | None = None
        self._arrived = asyncio.Event()

    def announce(self, effects: Effects, stopped_elsewhere: tuple[LeaseReference, ...]) -> None:
        """Has the other servers told of what a batch brought about."""
        if not (effects.ready_routes or effects.touched_runs or stopped_elsewhere or effects.wake_at):
            return
        hint = Hint(effects.ready_routes, effects.touched_runs, stopped_elsewhere, effects.wake_at)
        self._pending = merged(self._pending, hint) if self._pending else hint
        self._arrived.set()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            hint, self._pending = self._pending, None
            if hint is not None:
                try:
                    await self._transport.announce(hint)
                except EngineError:
                    _log.warning(
                        "other servers could not be told of new work; they will find it by themselves"
                    )


def merged(one: Hint, other: Hint) -> Hint:
    """A hint that says what both say."""
    times = [moment for moment in (one.wake_at, other.wake_at) if moment is not None]
    runs: frozenset[UUID] = one.runs | other.runs
    return Hint(
        one.routes | other.routes,
        runs,
        one.stopped + other.stopped,
        min(times, default=None),
        one.all_runs or other.all_runs,
    )
