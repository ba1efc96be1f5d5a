"""Worker sessions. Writes take the session's lock, so that they wait for a transaction that is ending it."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from stageline_engine.adapters.memory.state import MemoryState
from stageline_engine.commands import LeaseName
from stageline_engine.errors import ConcurrentChangeError
from stageline_engine.model.session import SessionRow, WorkerKind
from stageline_engine.ports import Disconnect, HeldLease


class MemorySessionStore:
    """The SessionStore port. See there for what each method promises."""

    def __init__(self, state: MemoryState) -> None:
        """Takes the state to keep sessions in."""
        self._state = state

    async def open(self, session: SessionRow) -> None:
        """Stores a new session.

        Raises:
            ConcurrentChangeError: Its id is known.
        """
        if session.id in self._state.sessions:
            raise ConcurrentChangeError(f"session {session.id} exists")
        self._state.sessions[session.id] = replace(session, labels=dict(session.labels))

    async def resume(
        self, session_id: UUID, namespace: str, server_id: str, now: datetime, expires_at: datetime
    ) -> bool:
        """Binds a living session to a new stream."""

        def bound(session: SessionRow) -> SessionRow | None:
            if session.namespace != namespace:
                return None
            return replace(
                session,
                server_id=server_id,
                connected_at=now,
                expires_at=expires_at,
                disconnect_reason="",
                disconnected_at=None,
            )

        return await self._change(session_id, bound)

    async def renew(
        self, session_ids: Collection[UUID], server_id: str, expires_at: datetime
    ) -> frozenset[UUID]:
        """Extends living sessions of this server."""

        def renewed(session: SessionRow) -> SessionRow | None:
            return replace(session, expires_at=expires_at) if session.server_id == server_id else None

        return frozenset([one for one in sorted(session_ids) if await self._change(one, renewed)])

    async def extend(
        self, namespace: str, leases: Collection[LeaseName], server_id: str, expires_at: datetime
    ) -> frozenset[UUID]:
        """Extends the living sessions of this server that own these leases."""
        owners = {
            lease.lease_token: job.session_id
            for lease in leases
            if (job := self._state.jobs.get((lease.run_id, lease.stage_number))) is not None
            and job.lease_token == lease.lease_token
        }
        known = self._state.sessions
        own = {id_ for id_ in owners.values() if id_ in known and known[id_].namespace == namespace}
        renewed = await self.renew(own, server_id, expires_at) if own else frozenset()
        return frozenset(token for token, session_id in owners.items() if session_id in renewed)

    async def end(self, session_id: UUID, server_id: str, now: datetime, reason: str) -> bool:
        """Ends a living session of this server that holds nothing any more."""

        def ended(session: SessionRow) -> SessionRow | None:
            holds = any(True for _ in self._state.leased_to(session_id))
            if holds or session.server_id != server_id:
                return None
            return replace(session, ended_at=now, end_reason=reason)

        return await self._change(session_id, ended)

    async def disconnected(self, server_id: str, ended: Sequence[Disconnect]) -> None:
        """Notes why streams ended."""
        for session_id, reason, at in ended:

            def noted(session: SessionRow, reason: str = reason, at: datetime = at) -> SessionRow | None:
                if session.server_id != server_id:
                    return None
                return replace(session, disconnect_reason=reason, disconnected_at=at)

            await self._change(session_id, noted)

    async def _change(self, session_id: UUID, change: Callable[[SessionRow], SessionRow | None]) -> bool:
        """Replaces a living session under its lock, unless ``change`` has nothing to give."""
        key, owner = ("session", session_id), object()
        await self._state.locks.acquire(key, owner)
        try:
            session = self._state.sessions.get(session_id)
            changed = change(session) if session is not None and session.ended_at is None else None
            if changed is not None:
                self._state.sessions[session_id] = changed
        finally:
            self._state.locks.release(key, owner)
        return changed is not None

    async def held_leases(self, session_id: UUID) -> Sequence[HeldLease]:
        """Returns the leases of the jobs that the session holds."""
        stages = self._state.stages
        return sorted(
            HeldLease(
                job.run_id,
                job.stage_number,
                job.lease_token,
                stages[job.run_id][job.stage_number].attempt,
                job.generation,
            )
            for job in self._state.leased_to(session_id)
            if job.lease_token is not None
        )

    async def list(self, namespace: str, *, include_ended: bool = False, limit: int) -> Sequence[SessionRow]:
        """Returns sessions of a namespace, the newest first."""
        found = [
            session
            for session in self._state.sessions.values()
            if session.namespace == namespace and (include_ended or session.ended_at is None)
        ]
        return sorted(found, key=lambda session: session.id, reverse=True)[:limit]

    async def kinds(self, namespace: str) -> Sequence[WorkerKind]:
        """Returns what the living sessions of a namespace can run, those that say the same together."""
        alike: dict[tuple[Any, ...], list[SessionRow]] = {}
        for session in self._state.sessions.values():
            if session.namespace == namespace and session.ended_at is None:
                said = (session.stages, tuple(sorted(session.labels.items())))
                alike.setdefault(said, []).append(session)
        return [
            WorkerKind(stages, dict(labels), len(found), sum(session.slots for session in found))
            for (stages, labels), found in alike.items()
        ]
