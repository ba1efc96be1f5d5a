"""Backends in memory."""

from stageline_engine.adapters.memory import MemoryStore
from stageline_engine.testing import Backend


def in_memory() -> Backend:
    """An empty one."""
    store = MemoryStore()
    return Backend(
        store.persistence, store.registry, store.queries, store.logs, store.sessions, store.transport
    )
