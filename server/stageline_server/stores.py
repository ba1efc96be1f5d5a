"""Puts the ports together: on a PostgreSQL, or in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stageline_engine.adapters.memory.store import MemoryStore
from stageline_engine.adapters.postgres import (
    PostgresClock,
    PostgresDatabase,
    PostgresLogs,
    PostgresPersistence,
    PostgresQueries,
    PostgresRegistry,
    PostgresSessions,
    PostgresTransport,
)
from stageline_engine.adapters.system import SystemClock, SystemIds
from stageline_server.dispatch.ports import Ports
from stageline_server.settings import Settings


@asynccontextmanager
async def postgres_ports(settings: Settings, dsn: str) -> AsyncIterator[Ports]:
    """Opens the ports on a database, and closes its connections at the end.

    Args:
        settings: How many connections, and how long to wait for one.
        dsn: The database, with its schema migrated.

    Raises:
        StorageUnavailableError: The database cannot be reached.
    """
    database = PostgresDatabase(
        dsn,
        transactions_max=settings.transaction_connections,
        reads_max=settings.read_connections,
        connection_wait=settings.connection_wait,
    )
    async with database:
        clock = PostgresClock(database)
        await clock.refresh()
        yield Ports(
            persistence=PostgresPersistence(database),
            registry=PostgresRegistry(database),
            queries=PostgresQueries(database),
            sessions=PostgresSessions(database),
            logs=PostgresLogs(database),
            transport=PostgresTransport(database),
            clock=clock,
            ids=SystemIds(),
        )


def memory_ports() -> Ports:
    """Makes ports in memory: nothing outlives the process."""
    store = MemoryStore()
    return Ports(
        persistence=store.persistence,
        registry=store.registry,
        queries=store.queries,
        sessions=store.sessions,
        logs=store.logs,
        transport=store.transport,
        clock=SystemClock(),
        ids=SystemIds(),
    )
