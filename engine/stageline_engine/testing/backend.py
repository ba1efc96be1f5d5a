"""All stores of one deployment, so that one kernel and one suite can stand on any adapter."""

from dataclasses import dataclass

from stageline_engine.adapters.memory import MemoryStore
from stageline_engine.ports import (
    JobTransport,
    LogStore,
    Persistence,
    RunQueries,
    SessionStore,
    WorkflowRegistry,
)


@dataclass(frozen=True, slots=True)
class Backend:
    """The ports over one state. A suite is given a fresh one, empty, for each test.

    Attributes:
        persistence: The transactional state.
        registry: Stored definitions.
        queries: Reading.
        logs: Log lines.
        sessions: Worker sessions.
        transport: Hints.
    """

    persistence: Persistence
    registry: WorkflowRegistry
    queries: RunQueries
    logs: LogStore
    sessions: SessionStore
    transport: JobTransport


def in_memory() -> Backend:
    """An empty backend in memory."""
    store = MemoryStore()
    return Backend(
        store.persistence, store.registry, store.queries, store.logs, store.sessions, store.transport
    )
