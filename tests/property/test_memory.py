"""Random histories in memory: every invariant after every step."""

from hypothesis import HealthCheck, settings

from tests.conformance.test_memory import InMemory
from tests.property.machine import History


class MemoryHistory(History):
    backends = (InMemory().backend,)


TestMemoryHistory = MemoryHistory.TestCase
TestMemoryHistory.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
