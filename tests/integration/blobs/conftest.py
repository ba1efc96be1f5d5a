"""A server whose large bytes are in memory with its rows, or on disk beside a PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stageline_migrations import upgrade
from stageline_server.settings import Settings
from stageline_server.stores import memory_ports, postgres_ports
from tests.integration.server.running import Server, running
from tests.support.fixtures import CreateDatabase


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    """A running server."""
    if request.param == "memory":
        async with running(memory_ports()) as started:
            yield started
        return
    create: CreateDatabase = request.getfixturevalue("create_database")
    async with (
        postgres_ports(Settings(data_dir=tmp_path), create(upgrade)) as ports,
        running(ports) as started,
    ):
        yield started
