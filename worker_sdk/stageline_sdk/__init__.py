"""The Python SDK of Stageline: write stages and workflows, run workers, start runs.

What is listed in `__all__` is the public surface, with `stageline_sdk.presets`, configs to build your own on, and
`stageline_sdk.testing` for tests of your own stages.
"""

import importlib
from typing import TYPE_CHECKING, Any

from stageline_sdk.artifacts import Artifact
from stageline_sdk.built_workflow import BuiltWorkflow, PlannedStage
from stageline_sdk.cancellation import CancelSignal
from stageline_sdk.context import Context
from stageline_sdk.empty import NoConfig, NoInput
from stageline_sdk.errors import (
    AbortedError,
    AlreadyExistsError,
    ApiError,
    ConfigError,
    DeadlineExceededError,
    DefinitionError,
    DuplicateStageIdError,
    EmptyGroupError,
    EmptyWorkflowError,
    FailedPreconditionError,
    FieldViolation,
    IncompatibleSchemaError,
    InternalError,
    InvalidArgumentError,
    InvalidStageIdError,
    MissingCheckError,
    MissingOutputError,
    NonRetryableError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    RetryableError,
    StageCancelledError,
    StageError,
    StageExitError,
    StagelineError,
    SuspectedOrphanError,
    TooManyStagesError,
    UnauthenticatedError,
    UnavailableError,
    UnknownDependencyError,
    UnknownStageError,
    UnsupportedError,
)
from stageline_sdk.one_shot import OneShotJob, OneShotResult
from stageline_sdk.retry import RetryPolicy, StageTimeouts
from stageline_sdk.runs import (
    Annotation,
    Event,
    Failure,
    LogLine,
    RegisteredStage,
    RegisteredWorkflow,
    Run,
    RunResult,
    RunStatus,
    StageInfo,
    StageStatus,
)
from stageline_sdk.stage import Stage, stage
from stageline_sdk.stage_ids import (
    StageIds,
    assert_valid_stage_id,
    define_stage_ids,
    is_valid_stage_id,
    stage_ids,
)
from stageline_sdk.stage_logger import StageLogger
from stageline_sdk.storage import AsyncStorage, Storage
from stageline_sdk.submissions import Submission
from stageline_sdk.suspension import StillWaiting, Suspended
from stageline_sdk.tls import TlsConfig
from stageline_sdk.tokens import AccessToken, NewToken, TokenScope
from stageline_sdk.upkeep import DeadLetter, EventBatch, MaintenanceTick, Stats, WorkerSession, WorkerStages
from stageline_sdk.usage import BookedCall, RecordedUsage, UsageFilter, UsageSum
from stageline_sdk.workflow import Workflow

if TYPE_CHECKING:
    from stageline_sdk.client import Client
    from stageline_sdk.sync_client import SyncClient
    from stageline_sdk.worker import Worker

# Loaded when they are first used: they bring gRPC, which costs a process that only defines stages a third of a second.
_LAZY = {"Client": "client", "SyncClient": "sync_client", "Worker": "worker"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


__all__ = [
    "AbortedError",
    "AccessToken",
    "AlreadyExistsError",
    "Annotation",
    "ApiError",
    "Artifact",
    "AsyncStorage",
    "BookedCall",
    "BuiltWorkflow",
    "CancelSignal",
    "Client",
    "ConfigError",
    "Context",
    "DeadLetter",
    "DeadlineExceededError",
    "DefinitionError",
    "DuplicateStageIdError",
    "EmptyGroupError",
    "EmptyWorkflowError",
    "Event",
    "EventBatch",
    "FailedPreconditionError",
    "Failure",
    "FieldViolation",
    "IncompatibleSchemaError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidStageIdError",
    "LogLine",
    "MaintenanceTick",
    "MissingCheckError",
    "MissingOutputError",
    "NewToken",
    "NoConfig",
    "NoInput",
    "NonRetryableError",
    "NotFoundError",
    "OneShotJob",
    "OneShotResult",
    "PermissionDeniedError",
    "PlannedStage",
    "RecordedUsage",
    "RegisteredStage",
    "RegisteredWorkflow",
    "ResourceExhaustedError",
    "RetryPolicy",
    "RetryableError",
    "Run",
    "RunResult",
    "RunStatus",
    "Stage",
    "StageCancelledError",
    "StageError",
    "StageExitError",
    "StageIds",
    "StageInfo",
    "StageLogger",
    "StageStatus",
    "StageTimeouts",
    "StagelineError",
    "Stats",
    "StillWaiting",
    "Storage",
    "Submission",
    "SuspectedOrphanError",
    "Suspended",
    "SyncClient",
    "TlsConfig",
    "TokenScope",
    "TooManyStagesError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnknownDependencyError",
    "UnknownStageError",
    "UnsupportedError",
    "UsageFilter",
    "UsageSum",
    "Worker",
    "WorkerSession",
    "WorkerStages",
    "Workflow",
    "assert_valid_stage_id",
    "define_stage_ids",
    "is_valid_stage_id",
    "stage",
    "stage_ids",
]
