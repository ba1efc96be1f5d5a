"""Sends hints to the other servers, as few as possible: while one is on its way, the next gathers."""

import asyncio
import logging

from stageline_engine.commands import Effects, LeaseReference
from stageline_engine.errors import EngineError
from stageline_engine.ports import Hint, JobTransport
from stageline_server.dispatch.background import Background

_log = logging.getLogger(__name__)

RETRY_PAUSE_SECONDS = 1.0
"""Wait before a hint that could not be sent is tried again."""

RUNS_NAMED_MAX = 1000
"""Runs that one hint names; beyond it says that any run may have changed."""


class Announcer(Background):
    """Merges the effects of many batches into few hints. One that could not be sent is sent with the next."""

    def __init__(self, transport: JobTransport) -> None:
        """Takes the transport."""
        super().__init__("announcer")
        self._transport = transport
        self._pending: Hint | None = None
        self._arrived = asyncio.Event()

    def announce(self, effects: Effects, stopped_elsewhere: tuple[LeaseReference, ...]) -> None:
        """Has the other servers, if there are any, told of what a batch brought about."""
        if not self._transport.has_company:
            return
        if effects.ready_routes or effects.touched_runs or stopped_elsewhere or effects.wake_at:
            self._add(Hint(effects.ready_routes, effects.touched_runs, stopped_elsewhere, effects.wake_at))

    def _add(self, hint: Hint) -> None:
        self._pending = merged(self._pending, hint) if self._pending else hint
        self._arrived.set()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            hint, self._pending = self._pending, None
            if hint is not None:
                await self._send(hint)

    async def _send(self, hint: Hint) -> None:
        try:
            await self._transport.announce(hint)
        except EngineError:
            _log.warning("other servers could not be told of new work; trying again", exc_info=True)
            self._add(hint)
            await asyncio.sleep(RETRY_PAUSE_SECONDS)


def merged(one: Hint, other: Hint) -> Hint:
    """A hint that says what both say."""
    times = [moment for moment in (one.wake_at, other.wake_at) if moment is not None]
    runs = one.runs | other.runs
    too_many = len(runs) > RUNS_NAMED_MAX
    return Hint(
        routes=one.routes | other.routes,
        runs=frozenset() if too_many else runs,
        stopped=tuple(dict.fromkeys(one.stopped + other.stopped)),
        wake_at=min(times, default=None),
        all_runs=one.all_runs or other.all_runs or too_many,
        revoked_tokens=one.revoked_tokens | other.revoked_tokens,
        all_tokens=one.all_tokens or other.all_tokens,
    )
