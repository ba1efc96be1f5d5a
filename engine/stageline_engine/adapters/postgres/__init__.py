"""The ports on PostgreSQL 14 or later.

``PostgresDatabase`` holds the connections; the other classes each fill one port and share it. Hot paths are named SQL,
run by psycopg in pipeline mode (``docs/decisions/0005``); SQLAlchemy describes the tables for migrations only.
"""

from stageline_engine.adapters.postgres.blob_index import PostgresBlobIndex
from stageline_engine.adapters.postgres.clock import PostgresClock
from stageline_engine.adapters.postgres.database import PostgresDatabase
from stageline_engine.adapters.postgres.logs import PostgresLogs
from stageline_engine.adapters.postgres.persistence import PostgresPersistence
from stageline_engine.adapters.postgres.queries import PostgresQueries
from stageline_engine.adapters.postgres.registry import PostgresRegistry
from stageline_engine.adapters.postgres.sessions import PostgresSessions
from stageline_engine.adapters.postgres.tokens import PostgresTokens
from stageline_engine.adapters.postgres.transport import PostgresTransport
from stageline_engine.adapters.postgres.usage import PostgresUsage

__all__ = [
    "PostgresBlobIndex",
    "PostgresClock",
    "PostgresDatabase",
    "PostgresLogs",
    "PostgresPersistence",
    "PostgresQueries",
    "PostgresRegistry",
    "PostgresSessions",
    "PostgresTokens",
    "PostgresTransport",
    "PostgresUsage",
]
