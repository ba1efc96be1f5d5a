"""Ports in memory, and a server on them that asks for tokens."""

from collections.abc import AsyncIterator

import pytest

from stageline_server.dispatch.ports import Ports
from stageline_server.stores import memory_ports
from tests.integration.auth.serving import asking
from tests.integration.server.running import Server


@pytest.fixture
async def ports() -> Ports:
    return memory_ports()


@pytest.fixture
async def server(ports: Ports) -> AsyncIterator[Server]:
    async with asking(ports) as started:
        yield started
