"""Models that answer as a test says: a registry whose models are functions."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any

from pydantic_ai import models
from pydantic_ai.embeddings import TestEmbeddingModel
from pydantic_ai.exceptions import ModelRateLimitError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from stageline_sdk import CancelSignal
from stageline_sdk.ai import AiModel, ModelPrices, ModelRegistry, StageAi, UsageRecord
from stageline_sdk.ai._runtime import AiRuntime
from stageline_sdk.ai._scope import AiScope
from stageline_sdk.presets import AICallDefaults

models.override_allow_model_requests(False)

Answer = Callable[[list[ModelMessage], AgentInfo], ModelResponse | Awaitable[ModelResponse]]
Pieces = Callable[[list[ModelMessage], AgentInfo], AsyncIterator[Any]]

PRICES = ModelPrices(input=Decimal(2), cached_input=Decimal(1), output=Decimal(10))


def response(*parts: Any, tokens: tuple[int, int, int] = (1000, 400, 200)) -> ModelResponse:
    """A response with texts and parts; tokens are input, cached, output. By the price list it costs 0.00056."""
    given, cached, written = tokens
    return ModelResponse(
        parts=[TextPart(each) if isinstance(each, str) else each for each in parts],
        usage=RequestUsage(input_tokens=given, cache_read_tokens=cached, output_tokens=written),
        model_name="gpt-5-mini",
        provider_name="openai",
    )


def busy(seconds: float | None = 0) -> ModelRateLimitError:
    """A 429."""
    return ModelRateLimitError("gpt-5-mini", "slow down", retry_after=seconds)


def saying(*script: ModelResponse | Exception) -> Answer:
    """Answers one after another; the last one for ever."""
    left = list(script)

    def answer(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        told = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(told, Exception):
            raise told
        return told

    return answer


def registry_of(
    answer: Answer | None = None,
    *,
    pieces: Pieces | None = None,
    priced: bool = False,
    name: str = "gpt-5-mini",
) -> ModelRegistry:
    """A registry with a model `m`, which is the default, and an embedding model `e`."""
    embedder = TestEmbeddingModel("text-embedding-3-small", provider_name="openai")

    def resolve(model: AiModel) -> Any:
        if model.is_embedding:
            return embedder
        return FunctionModel(function=answer, stream_function=pieces, model_name=name)  # type: ignore[arg-type]

    return ModelRegistry(
        [
            AiModel(key="m", provider="script", prices=PRICES if priced else None),
            AiModel(key="e", provider="script", is_embedding=True),
        ],
        resolvers={"script": resolve},
        default="m",
    )


class Desk:
    """`ctx.ai` with its records."""

    def __init__(
        self,
        registry: ModelRegistry,
        *,
        cancelled: CancelSignal | None = None,
        defaults: AICallDefaults | None = None,
    ) -> None:
        self.records: list[UsageRecord] = []
        self.announced: list[UsageRecord] = []
        scope = AiScope(
            runtime=AiRuntime(registry),
            cancelled=cancelled or CancelSignal(),
            defaults=defaults or AICallDefaults(),
        )
        self.ai = StageAi("s", self._keep, scope)

    def _keep(self, record: UsageRecord) -> None:
        (self.announced if record.is_open else self.records).append(record)

    @property
    def record(self) -> UsageRecord:
        """The only one."""
        (record,) = self.records
        return record


def desk(*script: ModelResponse | Exception, **options: Any) -> Desk:
    """A desk whose model says this."""
    return Desk(registry_of(saying(*script)), **options)


def texts_of(messages: Sequence[ModelMessage]) -> list[str]:
    """What was asked, text by text."""
    return [str(part.content) for message in messages for part in message.parts if hasattr(part, "content")]
