"""Finds leases that a session owns and whose offer its worker was never sent, and hands them on.

That happens where the fate of a commit is unknown, and where a session moved from one server to another while the first
was still leasing to it.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from uuid import UUID

from stageline_engine.commands import LeaseReference
from stageline_engine.ports import HeldLease
from stageline_server.dispatch.sessions import LocalSession, SessionTable

HeldLeases = Callable[[UUID], Awaitable[Sequence[HeldLease]]]
"""As ``SessionStore.held_leases``."""

LOOKS = 3
"""Looks at a session that came under suspicion. Two find what was lost before the first; one more, what was late."""


class LostOffers:
    """Looks at suspicious sessions, once in each interval.

    A lease counts as lost when two looks, an interval apart, find it unknown here: a commit whose effects are just being
    carried out is not mistaken for one.
    """

    def __init__(
        self,
        sessions: SessionTable,
        held_leases: HeldLeases,
        take_back: Callable[[LocalSession, LeaseReference], None],
    ) -> None:
        """Takes the local sessions, what the database says they hold, and what hands a lease on."""
        self._sessions = sessions
        self._held_leases = held_leases
        self._take_back = take_back
        self._looks: dict[UUID, int] = {}
        self._unknown: dict[UUID, frozenset[UUID]] = {}

    def suspect(self, session_ids: Iterable[UUID]) -> None:
        """Has these sessions looked at the next times."""
        for session_id in session_ids:
            self._looks[session_id] = LOOKS

    async def look(self) -> None:
        """Looks at every suspicious session once.

        Raises:
            StorageUnavailableError: The database is away; those not yet looked at stay suspicious.
        """
        for session_id in list(self._looks):
            session = self._sessions.get(session_id)
            if session is not None:
                await self._look_at(session)
            self._count(session_id, gone=session is None)

    async def _look_at(self, session: LocalSession) -> None:
        found = await self._held_leases(session.id)
        unknown = {
            token: LeaseReference(session.id, token, run_id, number)
            for run_id, number, token, *_ in found
            if token not in session.held
        }
        for token in self._unknown.get(session.id, frozenset()) & unknown.keys():
            self._take_back(session, unknown.pop(token))
        self._unknown[session.id] = frozenset(unknown)

    def _count(self, session_id: UUID, *, gone: bool) -> None:
        """Ends the suspicion after the last look. A session that has left is its next server's business."""
        self._looks[session_id] -= 1
        if gone or (self._looks[session_id] <= 0 and not self._unknown.get(session_id)):
            del self._looks[session_id]
            self._unknown.pop(session_id, None)
