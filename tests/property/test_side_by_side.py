"""The same random history in memory and on PostgreSQL: the same answers, the same rows, the same events (I9)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings

from stageline_engine.adapters.postgres import PostgresDatabase
from stageline_engine.testing import Backend
from stageline_migrations import upgrade
from tests.conformance.test_memory import InMemory
from tests.integration.postgres.backends import backend_on
from tests.property.machine import History
from tests.support.postgres import DatabaseServer


class SideBySide(History):
    server: ClassVar[DatabaseServer]


@asynccontextmanager
async def on_postgres() -> AsyncIterator[Backend]:
    url = SideBySide.server.create_database(upgrade)
    try:
        async with PostgresDatabase(url) as database:
            yield backend_on(database)
    finally:
        SideBySide.server.drop_database(url)


SideBySide.backends = (InMemory().backend, on_postgres)


@pytest.fixture(autouse=True)
def take_server(postgres_server: DatabaseServer) -> None:
    SideBySide.server = postgres_server


# A history that fails is made as short as can be before it is shown, which takes a while.
TestSideBySide = pytest.mark.timeout(600)(SideBySide.TestCase)
TestSideBySide.settings = settings(
    max_examples=10,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
