"""What every adapter must do, as suites to run on it. ``docs/conformance.md`` says how.

A suite is a class of async test methods. An adapter's own tests subclass it, give it a fresh backend, and name the class
``Test…``, so that pytest (with pytest-asyncio in auto mode) or any other runner finds it.
"""

from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.conformance.blob_index import BlobIndexConformance
from stageline_engine.testing.conformance.blobs import BlobConformance
from stageline_engine.testing.conformance.commits import CommitConformance
from stageline_engine.testing.conformance.consumers import ConsumerConformance
from stageline_engine.testing.conformance.execution import ExecutionConformance, ExecutorConformance
from stageline_engine.testing.conformance.flow import FlowConformance
from stageline_engine.testing.conformance.keys import KeyConformance
from stageline_engine.testing.conformance.leases import LeaseConformance
from stageline_engine.testing.conformance.ledger import LedgerConformance, LedgerRaceConformance
from stageline_engine.testing.conformance.ledger_reading import LedgerReadingConformance
from stageline_engine.testing.conformance.logs import LogConformance
from stageline_engine.testing.conformance.lost_definitions import LostDefinitionConformance
from stageline_engine.testing.conformance.outbox import OutboxConformance
from stageline_engine.testing.conformance.payloads import PayloadConformance
from stageline_engine.testing.conformance.queries import QueryConformance
from stageline_engine.testing.conformance.queue import QueueConformance
from stageline_engine.testing.conformance.races import RaceConformance
from stageline_engine.testing.conformance.registry import RegistryConformance
from stageline_engine.testing.conformance.repairs import RepairConformance
from stageline_engine.testing.conformance.reruns import (
    AnnotationConformance,
    RerunConformance,
)
from stageline_engine.testing.conformance.retention import RetentionConformance
from stageline_engine.testing.conformance.sessions import SessionConformance
from stageline_engine.testing.conformance.sources import (
    ClockConformance,
    IdConformance,
    SchedulerConformance,
    SinkConformance,
)
from stageline_engine.testing.conformance.submissions import SubmissionConformance
from stageline_engine.testing.conformance.timeouts import TimeoutConformance
from stageline_engine.testing.conformance.tokens import TokenConformance
from stageline_engine.testing.conformance.transactions import TransactionConformance
from stageline_engine.testing.conformance.transport import TransportConformance
from stageline_engine.testing.conformance.upkeep import UpkeepConformance
from stageline_engine.testing.conformance.upkeep_races import UpkeepRaceConformance
from stageline_engine.testing.conformance.waits import WaitConformance

SUITES: tuple[type[Conformance], ...] = (
    AnnotationConformance,
    BlobIndexConformance,
    ConsumerConformance,
    PayloadConformance,
    RepairConformance,
    RetentionConformance,
    RerunConformance,
    TimeoutConformance,
    UpkeepConformance,
    UpkeepRaceConformance,
    WaitConformance,
    CommitConformance,
    ExecutionConformance,
    FlowConformance,
    KeyConformance,
    LeaseConformance,
    LedgerConformance,
    LedgerRaceConformance,
    LedgerReadingConformance,
    LogConformance,
    LostDefinitionConformance,
    OutboxConformance,
    QueryConformance,
    QueueConformance,
    RaceConformance,
    RegistryConformance,
    SessionConformance,
    SubmissionConformance,
    TransactionConformance,
    TransportConformance,
)
"""Those of the stores: an adapter conforms when every one passes. Blob stores, tokens, clocks, schedulers, ids and sinks have suites of their own."""

__all__ = [
    "SUITES",
    "AnnotationConformance",
    "BlobConformance",
    "BlobIndexConformance",
    "ClockConformance",
    "CommitConformance",
    "Conformance",
    "ConsumerConformance",
    "ExecutionConformance",
    "ExecutorConformance",
    "FlowConformance",
    "IdConformance",
    "KeyConformance",
    "LeaseConformance",
    "LedgerConformance",
    "LedgerRaceConformance",
    "LedgerReadingConformance",
    "LogConformance",
    "LostDefinitionConformance",
    "OutboxConformance",
    "PayloadConformance",
    "QueryConformance",
    "QueueConformance",
    "RaceConformance",
    "RegistryConformance",
    "RepairConformance",
    "RerunConformance",
    "RetentionConformance",
    "SchedulerConformance",
    "SessionConformance",
    "SinkConformance",
    "SubmissionConformance",
    "TimeoutConformance",
    "TokenConformance",
    "TransactionConformance",
    "TransportConformance",
    "UpkeepConformance",
    "UpkeepRaceConformance",
    "WaitConformance",
]
