"""What holds for every test: the cost markers follow from where a test lives."""

import os
from pathlib import Path

import pytest

# gRPC's fork handlers crash children that are forked to become another program; read when gRPC is first imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

# The shipped conformance suites use plain asserts; pytest tells more of a failed one when it may rewrite them.
pytest.register_assert_rewrite("stageline_engine.testing")

pytest_plugins = ["tests.support.fixtures"]

TESTS = Path(__file__).parent
# Folder under tests/ -> the marker that its tests carry (registered in pyproject.toml).
MARKER_BY_FOLDER = {"acceptance": "acceptance", "chaos": "acceptance", "packaging": "packaging"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, so that `-m 'not acceptance'` needs no discipline."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in MARKER_BY_FOLDER:
            item.add_marker(MARKER_BY_FOLDER[folder])
