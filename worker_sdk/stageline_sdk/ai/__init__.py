"""AI calls of stages. Every call leaves a record: what it was for, what it cost, whatever becomes of the stage.

`ctx.ai` is a `StageAi`: it calls the models of a `ModelRegistry`, and books calls that were made elsewhere.
"""

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

__all__ = [
    "AiError",
    "AiModel",
    "BatchRoute",
    "CallOptions",
    "CallType",
    "CallUsage",
    "Contents",
    "CostSource",
    "EmbedOptions",
    "EmbedResult",
    "InvalidAnswerError",
    "KeyRefusedError",
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
    "SyncStageAi",
    "SyncTextStream",
    "TextResult",
    "TextStream",
    "UnknownModelError",
    "UnusableModelError",
    "UsageRecord",
    "UsageRecorder",
]
