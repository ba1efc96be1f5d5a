"""What a server does on the side: keep its sessions alive, hand on the work of dead ones, find what was lost on the way."""

import logging
import time
from typing import TYPE_CHECKING
from uuid import UUID

from stageline_engine.commands import ReapStaleLeases, ReportJob, Returned
from stageline_engine.rejections import Rejection
from stageline_server.dispatch.sessions import LocalSession
from stageline_server.dispatch.timers import Loop

if TYPE_CHECKING:
    from stageline_server.dispatch.plane import ControlPlane

_log = logging.getLogger(__name__)


class Housekeeping:
    """Three slow loops; no run waits for any of them while all goes well."""

    def __init__(self, plane: "ControlPlane") -> None:
        """Takes the plane whose sessions it looks after."""
        self._plane = plane
        settings = plane.settings
        self._renewal = settings.session_timeout / 3
        self.loops = [
            Loop(self._renew, self._renewal, name="renew sessions"),
            Loop(self._reap, self._renewal, name="reap stale leases"),
            Loop(self._recheck, settings.recheck_interval, name="recheck the queue"),
        ]
        self._suspicious = False
        self._suspects: dict[UUID, frozenset[UUID]] = {}

    def suspect_lost_offers(self) -> None:
        """Notes that a transaction's fate is unknown: it may have leased jobs that no worker was told of."""
        self._suspicious = True

    async def _renew(self) -> None:
        """Extends every session that was heard of; ends the streams of those that live on elsewhere or not at all."""
        plane = self._plane
        heard = plane.sessions.heard_since(time.monotonic() - plane.settings.session_timeout.total_seconds())
        if not heard:
            return
        # One renewal more than the time-out: a session is never given up while its stream could still be trusted.
        expires_at = plane.ports.clock.now() + plane.settings.session_timeout + self._renewal
        renewed = await plane.ports.sessions.renew(
            {session.id for session in heard}, plane.server_id, expires_at
        )
        for session in heard:
            if session.id not in renewed and plane.sessions.get(session.id) is session:
                session.outlet.close("SESSION_NOT_FOUND")

    async def _reap(self) -> None:
        dispatched = await self._plane.kernel.dispatch_many([ReapStaleLeases()])
        self._plane.carry_out(dispatched.effects)
        result = dispatched.results[0]
        if not isinstance(result, Rejection) and result.sessions:
            _log.warning(
                "%d sessions were given up; %d jobs handed on, %d failed as poison",
                len(result.sessions),
                result.requeued,
                result.poisoned,
            )

    async def _recheck(self) -> None:
        await self._plane.ports.clock.refresh()
        self._plane.recheck()
        if self._suspicious or self._suspects:
            self._suspicious = False
            before, self._suspects = self._suspects, {}
            for session in self._plane.sessions.all():
                await self._return_lost_offers(session, before.get(session.id, frozenset()))

    async def _return_lost_offers(self, session: LocalSession, suspects: frozenset[UUID]) -> None:
        """Hands on leases that the session owns and its worker was never told of.

        A lease counts as lost when two looks, an interval apart, find it unknown here: a commit whose effects are just
        being carried out is not mistaken for one.
        """
        leases = await self._plane.ports.sessions.held_leases(session.id)
        unknown = {token: (run_id, number) for run_id, number, token in leases if token not in session.held}
        for token in suspects & unknown.keys():
            run_id, number = unknown.pop(token)
            command = ReportJob(session.namespace, run_id, number, token, Returned(started=False))
            self._plane.report(command, lambda _: None)
        if unknown:
            self._suspects[session.id] = frozenset(unknown)
