"""All stores of one deployment, so that one kernel and one suite can stand on any adapter."""

from dataclasses import dataclass, field

from stageline_engine.adapters.memory import MemoryBlobStore, MemoryStore
from stageline_engine.ports import (
    BlobIndex,
    BlobStore,
    JobTransport,
    LogStore,
    Persistence,
    RunQueries,
    SessionStore,
    UsageQueries,
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
        blob_index: Which stored bytes there are.
        blobs: The bytes themselves.
        usage: Booked AI calls.
    """

    persistence: Persistence
    registry: WorkflowRegistry
    queries: RunQueries
    logs: LogStore
    sessions: SessionStore
    transport: JobTransport
    blob_index: BlobIndex
    usage: UsageQueries
    blobs: BlobStore = field(default_factory=MemoryBlobStore)


def in_memory() -> Backend:
    """An empty backend in memory."""
    store = MemoryStore()
    return Backend(
        store.persistence,
        store.registry,
        store.queries,
        store.logs,
        store.sessions,
        store.transport,
        store.blob_index,
        store.usage,
    )
