"""The adapters that one server works with; ``app.py`` alone chooses them."""

from dataclasses import dataclass

from stageline_engine.ports import (
    BlobIndex,
    BlobStore,
    Clock,
    IdSource,
    JobTransport,
    LogStore,
    Persistence,
    RunQueries,
    Scheduler,
    SessionStore,
    UsageQueries,
    WorkflowRegistry,
)


@dataclass(frozen=True, slots=True)
class Ports:
    """One adapter for each port, all on the same state."""

    persistence: Persistence
    registry: WorkflowRegistry
    queries: RunQueries
    sessions: SessionStore
    logs: LogStore
    blobs: BlobStore
    blob_index: BlobIndex
    usage: UsageQueries
    transport: JobTransport
    clock: Clock
    scheduler: Scheduler
    ids: IdSource
