"""What a server does on the side: keep its sessions alive, hand on the work of dead ones, find what was lost on the way."""

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from stageline_engine.blob_upkeep import BlobsCleaned, clean_blobs
from stageline_engine.commands import ReapStaleLeases, ReapStuckRuns, StaleLeasesReaped, StuckRunsReaped
from stageline_engine.errors import EngineError
from stageline_engine.rejections import Rejection
from stageline_server.dispatch.lost_offers import LostOffers
from stageline_server.dispatch.sessions import LocalSession
from stageline_server.dispatch.timers import chore

if TYPE_CHECKING:
    from stageline_server.dispatch.plane import ControlPlane

_log = logging.getLogger(__name__)

RENEWALS_BEFORE_REAPING = 2
"""Renewals in a row before stale leases are taken: after an outage every server gets a chance to renew its own."""


REPAIR_INTERVAL = timedelta(seconds=60)
"""Runs that stand still are looked for this often: there are none unless something went wrong that never should."""


CLEANING_INTERVAL = timedelta(seconds=60)
"""Stored bytes that nobody needs are removed this often; they have waited for hours by then, or were replaced."""


class Housekeeping:
    """Slow chores; no run waits for any of them while all goes well."""

    def __init__(self, plane: "ControlPlane") -> None:
        """Takes the plane whose sessions it looks after."""
        self._plane = plane
        settings = plane.settings
        self._renewal = settings.session_timeout / 3
        self._renewals_in_a_row = 0
        self.lost_offers = LostOffers(plane.sessions, plane.ports.sessions.held_leases, plane.take_back)
        self.alarms = [
            chore(plane.ports, self._keep_alive, "renew sessions and reap stale leases", every=self._renewal),
            chore(plane.ports, self._repair, "repair runs that stand still", every=REPAIR_INTERVAL),
            chore(
                plane.ports,
                self._clean_blobs,
                "remove stored bytes that nobody needs",
                every=CLEANING_INTERVAL,
            ),
            chore(plane.ports, self._recheck, "recheck the queue", every=settings.recheck_interval),
        ]

    async def give_up(self, session: LocalSession) -> None:
        """Ends a session that was silent for the session timeout: its jobs go to others, at the cost of a delivery each.

        Where the database is away, or the session goes on at another server, nothing happens.
        """
        try:
            now = self._plane.ports.clock.now()
            if await self._plane.ports.sessions.renew({session.id}, self._plane.server_id, now):
                await self.reap()
        except EngineError:
            _log.warning("a silent session could not be given up; its leases will expire", exc_info=True)

    async def _keep_alive(self) -> None:
        """Renews the sessions of this server, and only then takes leases of dead ones."""
        try:
            await self._renew()
        except BaseException:
            self._renewals_in_a_row = 0
            raise
        self._renewals_in_a_row += 1
        if self._renewals_in_a_row >= RENEWALS_BEFORE_REAPING:
            await self.reap()

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

    async def reap(self) -> StaleLeasesReaped:
        """Takes the leases of sessions that were not heard of in time.

        Raises:
            StorageUnavailableError: The database is away.
        """
        dispatched = await self._plane.kernel.dispatch_many([ReapStaleLeases()])
        self._plane.carry_out(dispatched.effects)
        result = dispatched.results[0]
        assert not isinstance(result, Rejection)
        if result.sessions:
            _log.warning(
                "%d sessions were given up; %d jobs handed on, %d failed as poison",
                len(result.sessions),
                result.requeued,
                result.poisoned,
            )
        return result

    async def repair(self) -> StuckRunsReaped:
        """Finds runs whose rows contradict each other, and repairs them.

        Raises:
            StorageUnavailableError: The database is away.
        """
        dispatched = await self._plane.kernel.dispatch_many([ReapStuckRuns()])
        self._plane.carry_out(dispatched.effects)
        result = dispatched.results[0]
        assert not isinstance(result, Rejection)
        if result.jobs_restored or result.runs_settled:
            _log.error(
                "runs stood still: %d jobs restored, %d runs settled; this is a fault of the server",
                result.jobs_restored,
                result.runs_settled,
            )
        return result

    async def clean_blobs(self) -> BlobsCleaned:
        """Removes stored bytes that nobody needs: one step, at most some hundreds.

        Raises:
            StorageUnavailableError: The database or the blob store is away.
        """
        ports = self._plane.ports
        return await clean_blobs(ports.blobs, ports.blob_index, ports.clock)

    async def _clean_blobs(self) -> None:
        while (await self.clean_blobs()).more:
            pass

    async def _repair(self) -> None:
        await self.repair()

    async def _recheck(self) -> None:
        await self._plane.ports.clock.refresh()
        self._plane.recheck()
        await self.lost_offers.look()
