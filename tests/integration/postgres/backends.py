"""The ports on a fresh, migrated database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stageline_engine.adapters.postgres import (
    PostgresBlobIndex,
    PostgresDatabase,
    PostgresLogs,
    PostgresPersistence,
    PostgresQueries,
    PostgresRegistry,
    PostgresSessions,
    PostgresTransport,
    PostgresUsage,
)
from stageline_engine.testing import Backend
from stageline_migrations import upgrade
from tests.support.fixtures import CreateDatabase


def backend_on(database: PostgresDatabase) -> Backend:
    """Every port on one database, with an outbox."""
    return Backend(
        PostgresPersistence(database),
        PostgresRegistry(database),
        PostgresQueries(database),
        PostgresLogs(database),
        PostgresSessions(database),
        PostgresTransport(database),
        PostgresBlobIndex(database),
        PostgresUsage(database),
    )


class OnPostgres:
    """Gives the conformance suites their backends."""

    @pytest.fixture(autouse=True)
    def take_databases(self, create_database: CreateDatabase) -> None:
        self._create_database = create_database

    @asynccontextmanager
    async def backend(self) -> AsyncIterator[Backend]:
        async with PostgresDatabase(self._create_database(upgrade), transactions_max=8) as database:
            yield backend_on(database)
