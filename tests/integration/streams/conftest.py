"""Every test of this folder runs over each adapter."""

import pytest

from stageline_engine.testing.definitions import workflow
from tests.support.plane import Deployment, PlaneServer
from tests.support.plane_fixtures import deployment

__all__ = ["deployment", "server"]


@pytest.fixture
async def server(deployment: Deployment) -> PlaneServer:
    """A server that knows two workflows: ``one`` of a single stage, ``chain`` of three, two of them parallel."""
    started = await deployment.serve()
    await started.register(workflow("one", "only"))
    await started.register(workflow("chain", "first", ["left", "right"], "last"))
    return started
