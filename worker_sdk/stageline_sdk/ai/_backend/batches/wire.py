"""A model's batches at its provider, through pydantic-ai."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.batch import Batch, BatchRequest, BatchResult, EncodedBatchRequest
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from stageline_sdk.ai._backend.calls import content_of, settings_of
from stageline_sdk.ai._scope import AiScope
from stageline_sdk.ai.batches.items import BatchItem, FailureReason, Turn
from stageline_sdk.ai.batches.options import BatchOptions
from stageline_sdk.ai.batches.output import OutputType
from stageline_sdk.ai.options import CallOptions

BATCH_ADAPTER: TypeAdapter[Batch] = TypeAdapter(Batch)
"""Writes and reads the provider's batches in a handle."""

OWN_MODULES = {"OpenAIResponsesModel": "openai", "AnthropicModel": "anthropic", "GoogleModel": "google"}
"""Kinds of models whose batches can be looked up after a crash, and the module that does it."""


class WholeBatchError(Exception):
    """A batch that ended without any results.

    Attributes:
        reason: Why each of its items failed.
    """

    def __init__(self, message: str, reason: FailureReason) -> None:
        super().__init__(message)
        self.reason: FailureReason = reason


class ProviderBatches:
    """The batches of one model. As it is, for any model with batches, they cannot be looked up.

    Attributes:
        model: The model.
    """

    def __init__(self, model: Model) -> None:
        """Take a model of pydantic-ai that has batches."""
        self.model = model

    async def create(self, requests: Sequence[EncodedBatchRequest], key: str) -> Batch:
        """Submit requests as one batch, known to the provider by a key where that is possible. Never tried twice."""
        return await self.model.batch_create(requests)

    async def owns(self, batch: Batch, mark: str) -> bool:
        """Whether an ended batch holds requests whose ids start with a mark."""
        results = await self.model.batch_results(batch)
        return any(each.custom_id.startswith(mark) for each in results)

    async def adopt(self, batch_id: str, group: str, request_count: int) -> Batch:
        """Return a batch by its id, as the provider has it now."""
        return await self.model.batch_status(self.named(batch_id, group, request_count))

    async def results(self, batch: Batch) -> list[BatchResult]:
        """Return the results of an ended batch, as far as it has any; unordered.

        Raises:
            WholeBatchError: It has none, and the provider says why.
        """
        return await self.model.batch_results(batch)

    def why_unlisted(self, batch: Batch) -> tuple[FailureReason, str]:
        """Say why an ended batch has no result for one of its requests."""
        return "missing", f"the provider ended batch {batch.id} without a word of this item"

    async def clean_up(self, batch: Batch) -> None:
        """Delete what was uploaded for an ended batch, where the provider keeps it. Results stay."""

    def named(
        self, batch_id: str, group: str, request_count: int, created_at: datetime | None = None
    ) -> Batch:
        """Return a batch that is under way, as far as it is known."""
        return Batch(
            id=batch_id,
            model_name=self.model.model_name,
            provider_name=self.model.system,
            group=group,
            status="in_progress",
            created_at=created_at or datetime.now(UTC),
            request_count=request_count,
        )


class FindableBatches(ProviderBatches, ABC):
    """Batches that the provider can be asked for, after a crash left it open whether it has them."""

    @abstractmethod
    async def look_up(
        self, key: str, request_count: int, since: datetime | None, taken: frozenset[str]
    ) -> str | None:
        """Return a reference to the batch that was submitted under a key; None where there surely is none.

        Args:
            key: What `create` was given.
            request_count: How many requests would be submitted now.
            since: A moment before which it cannot have been submitted.
            taken: Ids of batches that are known to be others.

        Raises:
            LookUpUnfinishedError: The provider has more batches than are looked through.
        """


def batches_of(model: Model) -> ProviderBatches:
    """Return the batches of a model: by the kind of its provider, else plain ones."""
    module = next(
        (OWN_MODULES[each.__name__] for each in type(model).__mro__ if each.__name__ in OWN_MODULES), None
    )
    if module is None:
        return ProviderBatches(model)
    made: ProviderBatches = importlib.import_module(f"stageline_sdk.ai._backend.batches.{module}").Batches(
        model
    )
    return made


def request_of(
    item: BatchItem, custom_id: str, output: OutputType[Any], settings: ModelSettings
) -> BatchRequest:
    """Return an item as a request of a batch."""
    asked = UserPromptPart(content_of(item.prompt))
    return BatchRequest(
        custom_id=custom_id,
        messages=[*map(_turn, item.history), ModelRequest(parts=[asked], instructions=item.instructions)],
        model_settings=settings,
        model_request_parameters=parameters_of(output),
    )


def _turn(turn: Turn) -> ModelMessage:
    if turn.role == "user":
        return ModelRequest(parts=[UserPromptPart(turn.text)])
    return ModelResponse(parts=[TextPart(turn.text)])


def batch_settings(scope: AiScope, options: BatchOptions, model: Model) -> ModelSettings:
    """Return the settings of each request: those of a single call, of which no batch has a time-out or retries."""
    shared = CallOptions.__optional_keys__ & BatchOptions.__optional_keys__
    given = {name: value for name, value in options.items() if name in shared}
    return settings_of(scope, cast("CallOptions", given), model)


def parameters_of(output: OutputType[Any]) -> ModelRequestParameters:
    """Return how a model is asked for an output: in whichever way it does best, and never as prose where a schema is."""
    if output.is_text:
        return ModelRequestParameters()
    schema = dict(output.schema)
    return ModelRequestParameters(
        output_mode="auto",
        allow_text_output=False,
        output_object=OutputObjectDefinition(json_schema=schema, name=output.name),
        output_tools=[ToolDefinition(name="final_result", parameters_json_schema=schema, kind="output")],
    )


def chunked(
    model: Model, requests: Iterable[EncodedBatchRequest], requests_max: int
) -> list[list[EncodedBatchRequest]]:
    """Return requests in batches that the provider takes: of one group each, and within its limits of number and size."""
    bytes_max = model.batch_max_bytes
    chunks: list[list[EncodedBatchRequest]] = []
    open_chunks: dict[str, tuple[list[EncodedBatchRequest], int]] = {}
    for request in requests:
        size = model.batch_request_size(request)
        chunk, filled = open_chunks.get(request.group, ([], 0))
        is_full = len(chunk) >= requests_max or (bytes_max is not None and filled + size > bytes_max)
        if not chunk or is_full:
            chunk, filled = [], 0
            chunks.append(chunk)
        chunk.append(request)
        open_chunks[request.group] = (chunk, filled + size)
    return chunks
