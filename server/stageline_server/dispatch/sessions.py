"""The sessions whose streams end at this server: what each can run, what it holds, how many jobs it takes."""

from collections.abc import Iterable, Sequence
from typing import Protocol
from uuid import UUID

from stageline_engine.commands import JobOffer, LeaseDemand, LeaseReference


class Outlet(Protocol):
    """The way to a session's worker. Nothing here waits: messages queue up and ride in the next frame."""

    @property
    def waiting_bytes(self) -> int:
        """Size of what no frame has carried yet."""
        ...

    def send_offer(self, offer: JobOffer) -> None:
        """Sends a leased job."""
        ...

    def send_stop(self, lease: LeaseReference) -> None:
        """Tells the worker that a lease no longer counts."""
        ...

    def send_drain(self) -> None:
        """Asks the worker to leave."""
        ...

    def close(self, reason: str) -> None:
        """Ends the stream, for a reason of the closed list."""
        ...


class LocalSession:
    """One session with a stream at this server.

    Attributes:
        congested: Whether so much waits for its stream that nothing more is leased to it.
    """

    def __init__(
        self, session_id: UUID, namespace: str, route_ids: Iterable[int], slots: int, outlet: Outlet
    ) -> None:
        """Starts with nothing held and no credit: a worker says when it is ready."""
        self.id = session_id
        self.namespace = namespace
        self.route_ids = tuple(sorted(set(route_ids)))
        self.slots = slots
        self.outlet = outlet
        self.held: dict[UUID, LeaseReference] = {}
        self.attempts: dict[UUID, int] = {}
        self.generations: dict[UUID, int] = {}
        self.draining = False
        self.congested = False
        self.last_heard: float = 0.0
        self._free = 0
        self._reserved = 0

    @property
    def free_slots(self) -> int:
        """Jobs that may still be leased to it."""
        return 0 if self.draining or self.congested else max(self._free - self._reserved, 0)

    def set_credit(self, free_slots: int, offers_on_the_way: int) -> None:
        """Takes the worker's word for its free slots.

        Args:
            free_slots: What it said.
            offers_on_the_way: Offers that it had not dealt with when it said so.
        """
        self._free = min(free_slots, self.slots) - offers_on_the_way

    def reserve(self, slots: int) -> int:
        """Sets slots aside for a transaction that may lease jobs to this session; returns how many there were."""
        taken = min(slots, self.free_slots)
        self._reserved += taken
        return taken

    def release(self, slots: int) -> None:
        """Gives reserved slots back after the transaction; those that were used have been counted by ``hold``."""
        self._reserved -= slots

    def hold(self, offer: JobOffer) -> None:
        """Notes a job that was leased to this session and that its worker is about to be told of."""
        self.keep(offer.lease, offer.attempt, offer.generation)
        self._free -= 1

    def keep(self, lease: LeaseReference, attempt: int, generation: int) -> None:
        """Notes a lease and what it is for, such as one that the worker brought along from an earlier stream."""
        self.held[lease.lease_token] = lease
        self.attempts[lease.lease_token] = attempt
        self.generations[lease.lease_token] = generation

    def drop(self, lease_token: UUID) -> LeaseReference | None:
        """Forgets a lease. Its slot is free when the worker says so."""
        self.attempts.pop(lease_token, None)
        self.generations.pop(lease_token, None)
        return self.held.pop(lease_token, None)

    def give_back(self, lease_token: UUID) -> LeaseReference | None:
        """Forgets a lease that its worker was never sent: its slot is free at once."""
        self._free += 1
        return self.drop(lease_token)


class Reservation:
    """Free slots set aside for one transaction, over some sessions."""

    def __init__(self, taken: Sequence[tuple[LocalSession, LeaseDemand]] = ()) -> None:
        """Made by ``SessionTable.reserve``."""
        self._taken = taken
        self.demands = tuple(demand for _, demand in taken)
        self.slots = sum(demand.slots for demand in self.demands)
        self.sessions = {session.id: session for session, _ in taken}

    def release(self) -> None:
        """Gives the slots back after the transaction; those that were used have been counted by ``hold``."""
        for session, demand in self._taken:
            session.release(demand.slots)


class SessionTable:
    """All local sessions by id."""

    def __init__(self) -> None:
        """Starts empty."""
        self._sessions: dict[UUID, LocalSession] = {}

    def add(self, session: LocalSession) -> LocalSession | None:
        """Adds a session; returns the one with the same id that it takes the place of."""
        before = self._sessions.get(session.id)
        self._sessions[session.id] = session
        return before

    def remove(self, session: LocalSession) -> None:
        """Removes this very session; a newer one of the same id stays."""
        if self._sessions.get(session.id) is session:
            del self._sessions[session.id]

    def get(self, session_id: UUID) -> LocalSession | None:
        """The session of this id, if its stream is here."""
        return self._sessions.get(session_id)

    def all(self) -> list[LocalSession]:
        """Every session."""
        return list(self._sessions.values())

    def reserve(self, limit: int, routes: frozenset[int] | None = None, *, promised: int = 0) -> Reservation:
        """Sets free slots aside for one transaction.

        Sessions take turns: those that were asked last time stand at the end of the line the next time.

        Args:
            limit: Slots in all, at most.
            routes: Only sessions that can run one of these, and only for these; None means whatever they can run.
            promised: So many free slots are left for others.
        """
        if promised:
            limit = min(limit, sum(session.free_slots for session in self._sessions.values()) - promised)
        taken = []
        for session in list(self._sessions.values()):
            if limit <= 0:
                break
            if not session.free_slots:
                continue
            wanted = (
                session.route_ids if routes is None else tuple(r for r in session.route_ids if r in routes)
            )
            if wanted and (slots := session.reserve(limit)):
                taken.append((session, LeaseDemand(session.id, wanted, slots)))
                limit -= slots
        for session, _ in taken:
            self._sessions[session.id] = self._sessions.pop(session.id)
        return Reservation(taken)

    def heard_since(self, moment: float) -> list[LocalSession]:
        """Sessions that said something after a moment of the monotonic clock."""
        return [session for session in self._sessions.values() if session.last_heard >= moment]
