"""Matches free slots with waiting jobs. Woken by hints only: a new job, a free slot, a new session.

``_hot`` holds the routes that may have jobs waiting. A route leaves it when a lease found fewer jobs than there were
slots and no new hint has come meanwhile; so an idle server asks nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from stageline_engine.commands import LeaseDemand, LeasedJobs
from stageline_engine.errors import EngineError
from stageline_server.dispatch.background import Background
from stageline_server.dispatch.sessions import Reservation, SessionTable

_log = logging.getLogger(__name__)

CONTENTION_PAUSE_SECONDS = 0.01
"""Wait before asking again when ready jobs were locked: about as long as the transaction that holds them."""

FAILURE_PAUSE_SECONDS = 0.5
"""Wait before asking again when the database is away."""

LeaseBatch = Callable[[Reservation], Awaitable[LeasedJobs]]
"""Leases jobs to the sessions of a reservation, carries out all that follows, and in any case releases it."""


class Leaser(Background):
    """The one task of a server that leases waiting jobs."""

    def __init__(
        self, sessions: SessionTable, lease: LeaseBatch, *, batch_max: int, promised: Callable[[], int]
    ) -> None:
        """Makes a leaser of no known work.

        Args:
            sessions: The sessions to serve.
            lease: Leases jobs to them.
            batch_max: The most jobs to lease in one transaction.
            promised: How many free slots are for others. When they are done, they call ``slots_freed``.
        """
        super().__init__("leaser")
        self._sessions = sessions
        self._lease = lease
        self._batch_max = batch_max
        self._promised = promised
        self._hot: dict[int, int] = {}
        self._hints = 0
        self._wake = asyncio.Event()

    def jobs_may_wait(self, routes: Iterable[int]) -> None:
        """Hints that these routes have jobs waiting."""
        self._hints += 1
        for route_id in routes:
            self._hot[route_id] = self._hints
        self._wake.set()

    def slots_freed(self) -> None:
        """Hints that a session takes more jobs."""
        if self._hot:
            self._wake.set()

    @property
    def is_idle(self) -> bool:
        """Whether no job waits, as far as hints tell."""
        return not self._hot

    async def _run(self) -> None:
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._serve()
            except EngineError:
                _log.warning("leasing failed; trying again", exc_info=True)
                await asyncio.sleep(FAILURE_PAUSE_SECONDS)
                self._wake.set()

    async def _serve(self) -> None:
        """Leases until the slots or the jobs run out."""
        while True:
            seen = dict(self._hot)
            reservation = self._sessions.reserve(self._batch_max, frozenset(seen), promised=self._promised())
            if not reservation.demands:
                return
            leased = await self._lease(reservation)
            if leased.contended:
                await asyncio.sleep(CONTENTION_PAUSE_SECONDS)
            elif _exhausted(leased, reservation):
                self._cool(seen, reservation.demands)

    def _cool(self, seen: dict[int, int], demands: Iterable[LeaseDemand]) -> None:
        """Takes routes off that had no more jobs, unless a hint has come since they were asked."""
        for route_id in {route_id for demand in demands for route_id in demand.route_ids}:
            if self._hot.get(route_id) == seen[route_id]:
                del self._hot[route_id]


def _exhausted(leased: LeasedJobs, reservation: Reservation) -> bool:
    """Whether nothing waits any more for any of the sessions that asked.

    Fewer jobs than slots says so only where all can run the same: else one may have gone short while another's free
    slots found nothing, and they ask once more.
    """
    one_kind = len({demand.route_ids for demand in reservation.demands}) == 1
    return leased.leased == 0 or (one_kind and leased.leased < reservation.slots)
