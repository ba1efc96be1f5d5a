"""What the engine needs of the world. Each port says what is atomic and what may fail.

Adapters live in ``stageline_engine.adapters``; one conformance suite runs over all of them. Any method may raise
``StorageUnavailableError`` where its dependency cannot be reached.
"""

from stageline_engine.ports.blob_index import BlobIndex, PinnedRun
from stageline_engine.ports.blobs import BlobEntry, BlobStore
from stageline_engine.ports.clock import Clock, IdSource
from stageline_engine.ports.executor import JobVoice, StageExecutor
from stageline_engine.ports.persistence import (
    ALL_STAGES,
    Claim,
    ClaimedJob,
    DeadLetterKey,
    InputRequest,
    JobInputs,
    LoadedRun,
    OutboxBatch,
    OutboxSettlement,
    Persistence,
    PurgeBefore,
    Purged,
    Selection,
    UnitOfWork,
)
from stageline_engine.ports.queries import (
    ENTRY_READ,
    AnnotationFilter,
    DeadLetter,
    DueCheck,
    LogCursor,
    LoggedEvent,
    LogLine,
    LogPage,
    LogStore,
    PoolUse,
    RunDetails,
    RunFilter,
    RunPage,
    RunQueries,
    StageDetails,
    Statistics,
    Workload,
)
from stageline_engine.ports.registry import WorkflowRegistry
from stageline_engine.ports.scheduler import Scheduler
from stageline_engine.ports.sessions import Disconnect, HeldLease, SessionStore
from stageline_engine.ports.sink import EventRefusedError, EventSink
from stageline_engine.ports.tokens import TokenStore
from stageline_engine.ports.transport import LOOK_AT_EVERYTHING, Hint, JobTransport
from stageline_engine.ports.usage import (
    BookedCall,
    UsageDimension,
    UsageFilter,
    UsagePosition,
    UsageQueries,
    UsageSum,
)

__all__ = [
    "ALL_STAGES",
    "ENTRY_READ",
    "LOOK_AT_EVERYTHING",
    "AnnotationFilter",
    "BlobEntry",
    "BlobIndex",
    "BlobStore",
    "BookedCall",
    "Claim",
    "ClaimedJob",
    "Clock",
    "DeadLetter",
    "DeadLetterKey",
    "Disconnect",
    "DueCheck",
    "EventRefusedError",
    "EventSink",
    "HeldLease",
    "Hint",
    "IdSource",
    "InputRequest",
    "JobInputs",
    "JobTransport",
    "JobVoice",
    "LoadedRun",
    "LogCursor",
    "LogLine",
    "LogPage",
    "LogStore",
    "LoggedEvent",
    "OutboxBatch",
    "OutboxSettlement",
    "Persistence",
    "PinnedRun",
    "PoolUse",
    "PurgeBefore",
    "Purged",
    "RunDetails",
    "RunFilter",
    "RunPage",
    "RunQueries",
    "Scheduler",
    "Selection",
    "SessionStore",
    "StageDetails",
    "StageExecutor",
    "Statistics",
    "TokenStore",
    "UnitOfWork",
    "UsageDimension",
    "UsageFilter",
    "UsagePosition",
    "UsageQueries",
    "UsageSum",
    "WorkflowRegistry",
    "Workload",
]
