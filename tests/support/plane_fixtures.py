"""The fixture ``deployment``: servers on one state, over every adapter. A conftest imports it from here."""

from collections.abc import AsyncIterator

import pytest

from stageline_migrations import upgrade
from tests.support.fixtures import CreateDatabase
from tests.support.plane import Deployment, memory_deployment, postgres_deployment


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
async def deployment(request: pytest.FixtureRequest) -> AsyncIterator[Deployment]:
    """Servers on a state of this test's own."""
    if request.param == "memory":
        made = memory_deployment()
    else:
        create: CreateDatabase = request.getfixturevalue("create_database")
        made = postgres_deployment(create(upgrade))
    async with made:
        yield made
