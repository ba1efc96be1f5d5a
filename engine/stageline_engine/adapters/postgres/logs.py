"""Log lines of stages."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.numeric import Int4, Int8

from stageline_engine.adapters.postgres import rows
from stageline_engine.adapters.postgres.database import PostgresDatabase
from stageline_engine.adapters.postgres.statements import logs as statements
from stageline_engine.adapters.postgres.statements.changes import arrays_of
from stageline_engine.ports import LogLine

_TYPES = ("uuid", "integer", "integer", "text", "text", "json", "timestamptz", "integer")
_APPEND_LOCK = 0x5374_6167_656C_6F67  # an advisory lock of the database, used by nobody else


class PostgresLogs:
    """The LogStore port. See there for what each method promises."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Takes the connections."""
        self._database = database

    async def append(self, lines: Sequence[LogLine]) -> None:
        """Stores lines, all or none. The character U+0000, which PostgreSQL cannot store, becomes U+FFFD."""
        if not lines:
            return
        given = arrays_of(_TYPES, map(_values, lines))
        async with self._database.transaction() as connection, connection.pipeline():
            await connection.execute(statements.LOCK_APPEND, (Int8(_APPEND_LOCK),))
            await connection.execute(statements.APPEND_LINES, given)

    async def list(
        self, namespace: str, run_id: UUID, *, after_id: int = 0, stage_number: int = 0, limit: int
    ) -> Sequence[LogLine]:
        """Returns a run's lines after an id, oldest first."""
        given = (run_id, namespace, Int8(after_id), Int4(stage_number), Int4(limit))
        return [rows.log_line(values) for values in await self._database.run(statements.LIST_LINES, given)]


def _values(line: LogLine) -> tuple[Any, ...]:
    metadata = orjson.dumps(dict(line.metadata), default=str)
    message = line.message.replace("\0", "\ufffd")
    said = (line.run_id, line.stage_number, line.attempt, line.level, message, metadata, line.logged_at)
    return (*said, line.generation)
