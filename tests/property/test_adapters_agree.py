"""I9: the same history gives the same answers, rows and events in memory and on PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from stageline_engine.adapters.postgres import PostgresDatabase
from stageline_engine.testing import Backend
from stageline_migrations import upgrade
from tests.conformance.test_memory import InMemory
from tests.integration.postgres.backends import backend_on
from tests.property.machine import History
from tests.support.postgres import DatabaseServer


@pytest.mark.timeout(600)
def test_the_same_history_on_both_adapters(postgres_server: DatabaseServer) -> None:
    @asynccontextmanager
    async def on_postgres() -> AsyncIterator[Backend]:
        url = postgres_server.create_database(upgrade)
        try:
            async with PostgresDatabase(url, transactions_max=2) as database:
                yield backend_on(database)
        finally:
            postgres_server.drop_database(url)

    class BothHistories(History):
        backends = (InMemory().backend, on_postgres)

    run_state_machine_as_test(
        BothHistories,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
