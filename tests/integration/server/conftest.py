"""Every test of this folder runs over each adapter."""

from collections.abc import AsyncIterator

import pytest

from stageline_migrations import upgrade
from stageline_server.dispatch.ports import Ports
from stageline_server.settings import Settings
from stageline_server.stores import memory_ports, postgres_ports
from tests.integration.server.running import Server, running
from tests.support.fixtures import CreateDatabase


@pytest.fixture
async def memory() -> Ports:
    """Ports in memory, for what does not depend on the adapter."""
    return memory_ports()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
async def ports(request: pytest.FixtureRequest) -> AsyncIterator[Ports]:
    """The ports of one adapter, on a state of this test's own."""
    if request.param == "memory":
        yield memory_ports()
        return
    create: CreateDatabase = request.getfixturevalue("create_database")
    async with postgres_ports(Settings(), create(upgrade)) as opened:
        yield opened


@pytest.fixture
async def server(ports: Ports) -> AsyncIterator[Server]:
    """A running server."""
    async with running(ports) as started:
        yield started
