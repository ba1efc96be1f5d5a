"""Random histories in memory: every invariant after every step."""

import pytest
from hypothesis import HealthCheck, settings

from tests.conformance.test_memory import InMemory
from tests.property.machine import History


class MemoryHistory(History):
    backends = (InMemory().backend,)


# A history that fails is made as short as can be before it is shown, which takes a while.
TestMemoryHistory = pytest.mark.timeout(600)(MemoryHistory.TestCase)
TestMemoryHistory.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
