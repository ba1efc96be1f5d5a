"""A kernel in memory for each test, with time and ids under control."""

import pytest

from stageline_engine.testing import CollectingSink, Scene, in_memory


@pytest.fixture
def sink() -> CollectingSink:
    return CollectingSink()


@pytest.fixture
def scene(sink: CollectingSink) -> Scene:
    return Scene(in_memory(), sink=sink)
