"""The token stores conform."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stageline_engine.adapters.memory import MemoryStore
from stageline_engine.adapters.postgres import PostgresDatabase, PostgresTokens
from stageline_engine.ports import TokenStore
from stageline_engine.testing import conformance
from stageline_migrations import upgrade
from tests.support.fixtures import CreateDatabase


class TestInMemory(conformance.TokenConformance):
    @asynccontextmanager
    async def tokens(self) -> AsyncIterator[TokenStore]:
        yield MemoryStore().tokens


class TestOnPostgres(conformance.TokenConformance):
    @pytest.fixture(autouse=True)
    def take_databases(self, create_database: CreateDatabase) -> None:
        self._create_database = create_database

    @asynccontextmanager
    async def tokens(self) -> AsyncIterator[TokenStore]:
        async with PostgresDatabase(self._create_database(upgrade)) as database:
            yield PostgresTokens(database)
