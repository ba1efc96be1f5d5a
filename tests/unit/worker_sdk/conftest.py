"""A runner of stages that leaves nothing behind."""

from collections.abc import AsyncIterator

import pytest

from stageline_sdk._execute import StageRunner


@pytest.fixture
async def runner() -> AsyncIterator[StageRunner]:
    async with StageRunner() as made:
        yield made
