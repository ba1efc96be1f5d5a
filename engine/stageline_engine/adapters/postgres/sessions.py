"""Worker sessions."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from psycopg.types.numeric import Int4

from stageline_engine.adapters.postgres import rows
from stageline_engine.adapters.postgres.arrays import array
from stageline_engine.adapters.postgres.database import PostgresDatabase
from stageline_engine.adapters.postgres.statements import sessions as statements
from stageline_engine.adapters.postgres.statements.changes import arrays_of
from stageline_engine.adapters.postgres.statements.columns import SESSIONS
from stageline_engine.commands import LeaseName
from stageline_engine.model.session import SessionRow, WorkerKind
from stageline_engine.ports import Disconnect, HeldLease


class PostgresSessions:
    """The SessionStore port. See there for what each method promises."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Takes the connections."""
        self._database = database

    async def open(self, session: SessionRow) -> None:
        """Stores a new session.

        Raises:
            ConcurrentChangeError: Its id is known.
        """
        await self._database.run(
            statements.OPEN_SESSION, [column.collect([session]) for column in SESSIONS.columns]
        )

    async def resume(
        self, session_id: UUID, namespace: str, server_id: str, now: datetime, expires_at: datetime
    ) -> bool:
        """Binds a living session to a new stream."""
        given = (session_id, namespace, server_id, now, expires_at)
        return bool(await self._database.run(statements.RESUME_SESSION, given))

    async def renew(
        self, session_ids: Collection[UUID], server_id: str, expires_at: datetime
    ) -> frozenset[UUID]:
        """Extends living sessions of this server."""
        given = (array("uuid", session_ids), server_id, expires_at)
        return frozenset([id_ for (id_,) in await self._database.run(statements.RENEW_SESSIONS, given)])

    async def extend(
        self, namespace: str, leases: Collection[LeaseName], server_id: str, expires_at: datetime
    ) -> frozenset[UUID]:
        """Extends the living sessions of this server that own these leases."""
        named = arrays_of(("uuid", "integer", "uuid"), list(leases))
        given = [namespace, server_id, expires_at, *named]
        return frozenset([token for (token,) in await self._database.run(statements.EXTEND_LEASES, given)])

    async def end(self, session_id: UUID, server_id: str, now: datetime, reason: str) -> bool:
        """Ends a living session of this server that holds nothing any more."""
        return bool(await self._database.run(statements.END_SESSION, (session_id, server_id, now, reason)))

    async def disconnected(self, server_id: str, ended: Sequence[Disconnect]) -> None:
        """Notes why streams ended."""
        given = arrays_of(("uuid", "text", "timestamptz"), list(ended))
        await self._database.run(statements.NOTE_DISCONNECTS, [server_id, *given])

    async def held_leases(self, session_id: UUID) -> Sequence[HeldLease]:
        """Returns the leases of the jobs that the session holds."""
        found = await self._database.run(statements.HELD_LEASES, (session_id,))
        return [HeldLease(*values) for values in found]

    async def list(self, namespace: str, *, include_ended: bool = False, limit: int) -> Sequence[SessionRow]:
        """Returns sessions of a namespace, the newest first."""
        given = (namespace, include_ended, Int4(limit))
        return [
            rows.session_row(values) for values in await self._database.run(statements.LIST_SESSIONS, given)
        ]

    async def kinds(self, namespace: str) -> Sequence[WorkerKind]:
        """Returns what the living sessions of a namespace can run, those that say the same together."""
        found = await self._database.run(statements.WORKER_KINDS, (namespace,))
        return [WorkerKind(rows.session_stages(stages), labels, *counts) for stages, labels, *counts in found]
