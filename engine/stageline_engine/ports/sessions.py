"""Worker sessions: who is connected, and until when its leases hold."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from stageline_engine.commands import LeaseName
from stageline_engine.model.session import SessionRow, WorkerKind


class HeldLease(NamedTuple):
    """A lease that a session holds, with the attempt and the generation that it is for."""

    run_id: UUID
    stage_number: int
    lease_token: UUID
    attempt: int
    generation: int


class Disconnect(NamedTuple):
    """The end of a session's stream, which ends no session by itself."""

    session_id: UUID
    reason: str
    at: datetime


class SessionStore(Protocol):
    """Sessions by id. Every write names the state that it expects: an ended session never lives again.

    Atomic: each method is one statement over all the sessions that it is given. Any method may raise ``StorageUnavailableError`` where the database is away; each is safe to repeat.
    """

    async def open(self, session: SessionRow) -> None:
        """Stores a new session."""
        ...

    async def resume(
        self, session_id: UUID, namespace: str, server_id: str, now: datetime, expires_at: datetime
    ) -> bool:
        """Binds a living session to a new stream; why the one before ended is forgotten.

        Returns:
            False where it has ended, has been given up, or is another namespace's: open a new one.
        """
        ...

    async def renew(
        self, session_ids: Collection[UUID], server_id: str, expires_at: datetime
    ) -> frozenset[UUID]:
        """Extends living sessions of this server, all in one write.

        Returns:
            Those extended. The others have ended or moved to another server: their streams here must be closed.
        """
        ...

    async def extend(
        self, namespace: str, leases: Collection[LeaseName], server_id: str, expires_at: datetime
    ) -> frozenset[UUID]:
        """Extends the living sessions of this server that own these leases, all in one write.

        Returns:
            The tokens of those leases that are live and whose session was extended.
        """
        ...

    async def end(self, session_id: UUID, server_id: str, now: datetime, reason: str) -> bool:
        """Ends a living session of this server that holds nothing any more. False where it was not one."""
        ...

    async def disconnected(self, server_id: str, ended: Sequence[Disconnect]) -> None:
        """Notes why streams ended, all in one write. Sessions that go on at another server are left alone."""
        ...

    async def held_leases(self, session_id: UUID) -> Sequence[HeldLease]:
        """Returns the leases of the jobs that the session holds, by run and stage."""
        ...

    async def list(self, namespace: str, *, include_ended: bool = False, limit: int) -> Sequence[SessionRow]:
        """Returns sessions of a namespace, the newest first."""
        ...

    async def kinds(self, namespace: str) -> Sequence[WorkerKind]:
        """Returns what the living sessions of a namespace can run, those that say the same together, in no order."""
        ...
