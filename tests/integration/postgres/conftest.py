"""A migrated database of each test's own."""

from collections.abc import AsyncIterator

import pytest

from stageline_engine.adapters.postgres import PostgresDatabase
from stageline_migrations import upgrade
from tests.support.fixtures import CreateDatabase

# The shipped suites use plain asserts; pytest tells more of a failed one when it may rewrite them.
pytest.register_assert_rewrite("stageline_engine.testing")


@pytest.fixture
def database_url(create_database: CreateDatabase) -> str:
    """A migrated, empty database."""
    return create_database(upgrade)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[PostgresDatabase]:
    """Its connections; only one for transactions, so that a test knows which one is used."""
    async with PostgresDatabase(database_url, transactions_max=1) as opened:
        yield opened
