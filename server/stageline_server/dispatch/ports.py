"""The adapters that one server works with; ``app.py`` alone chooses them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stageline_engine.ports import (
    BlobIndex,
    BlobStore,
    Clock,
    EventSink,
    IdSource,
    JobTransport,
    LogStore,
    Persistence,
    PoolUse,
    RunQueries,
    Scheduler,
    SessionStore,
    TokenStore,
    UsageQueries,
    WorkflowRegistry,
)


@dataclass(frozen=True, slots=True)
class Ports:
    """One adapter for each port, all on the same state; ``sinks`` are the consumers of events by name, ``pools`` tells the use of connections."""

    persistence: Persistence
    registry: WorkflowRegistry
    queries: RunQueries
    sessions: SessionStore
    tokens: TokenStore
    logs: LogStore
    blobs: BlobStore
    blob_index: BlobIndex
    usage: UsageQueries
    transport: JobTransport
    clock: Clock
    scheduler: Scheduler
    ids: IdSource
    sinks: Mapping[str, EventSink] = field(default_factory=dict)
    pools: Callable[[], Mapping[str, PoolUse]] = dict
