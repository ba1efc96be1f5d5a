"""AI calls of stages. Every call leaves a record: what it was for, what it cost, whatever becomes of the stage.

`ctx.ai` is a `StageAi`: it calls the models of a `ModelRegistry`, and books calls that were made elsewhere.
"""

import importlib
from typing import TYPE_CHECKING, Any

from stageline_sdk.ai.batches.batch import AiBatch, BatchStatus
from stageline_sdk.ai.batches.errors import (
    BatchHandleError,
    BatchItemsError,
    BatchNotEndedError,
    LookUpUnfinishedError,
)
from stageline_sdk.ai.batches.handle import BatchHandle, BatchPart
from stageline_sdk.ai.batches.items import (
    BatchItem,
    BatchResults,
    FailureReason,
    ItemFailed,
    ItemSucceeded,
    Turn,
)
from stageline_sdk.ai.batches.options import BatchOptions
from stageline_sdk.ai.batches.sync_batch import SyncAiBatch
from stageline_sdk.ai.errors import (
    AiError,
    InvalidAnswerError,
    KeyRefusedError,
    MissingExtraError,
    MissingKeyError,
    PromptTooLongError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitedError,
    RequestRefusedError,
    StepLimitError,
    UnknownModelError,
    UnusableModelError,
)
from stageline_sdk.ai.models import AiModel, BatchRoute, ModelPrices, Resolver
from stageline_sdk.ai.options import CallOptions, EmbedOptions, Media, Prompt, Reasoning
from stageline_sdk.ai.records import CallType, Contents, CostSource, UsageRecord
from stageline_sdk.ai.registry import ModelRegistry
from stageline_sdk.ai.results import CallUsage, EmbedResult, ObjectResult, TextResult
from stageline_sdk.ai.stage_ai import StageAi, UsageRecorder
from stageline_sdk.ai.streams import SyncTextStream, TextStream
from stageline_sdk.ai.sync_ai import SyncStageAi

if TYPE_CHECKING:
    from stageline_sdk.ai.batches.stage import ai_batch_stage


def __getattr__(name: str) -> Any:
    """Load `ai_batch_stage` when it is used: it is built on stages, and stages on this package."""
    if name != "ai_batch_stage":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module("stageline_sdk.ai.batches.stage").ai_batch_stage


__all__ = [
    "AiBatch",
    "AiError",
    "AiModel",
    "BatchHandle",
    "BatchHandleError",
    "BatchItem",
    "BatchItemsError",
    "BatchNotEndedError",
    "BatchOptions",
    "BatchPart",
    "BatchResults",
    "BatchRoute",
    "BatchStatus",
    "CallOptions",
    "CallType",
    "CallUsage",
    "Contents",
    "CostSource",
    "EmbedOptions",
    "EmbedResult",
    "FailureReason",
    "InvalidAnswerError",
    "ItemFailed",
    "ItemSucceeded",
    "KeyRefusedError",
    "LookUpUnfinishedError",
    "Media",
    "MissingExtraError",
    "MissingKeyError",
    "ModelPrices",
    "ModelRegistry",
    "ObjectResult",
    "Prompt",
    "PromptTooLongError",
    "ProviderUnavailableError",
    "QuotaExceededError",
    "RateLimitedError",
    "Reasoning",
    "RequestRefusedError",
    "Resolver",
    "StageAi",
    "StepLimitError",
    "SyncAiBatch",
    "SyncStageAi",
    "SyncTextStream",
    "TextResult",
    "TextStream",
    "Turn",
    "UnknownModelError",
    "UnusableModelError",
    "UsageRecord",
    "UsageRecorder",
    "ai_batch_stage",
]
