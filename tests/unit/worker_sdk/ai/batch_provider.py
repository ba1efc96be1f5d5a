"""A provider of batches that is a value in this process: every model that is given it sees the same batches."""

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models import Model
from pydantic_ai.models.batch import Batch, BatchRequest, BatchResult, BatchStatus, EncodedBatchRequest
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.usage import RequestUsage

from stageline_sdk.ai.models import AiModel
from stageline_sdk.ai.registry import ModelRegistry

Script = Callable[[str], "str | BatchResult"]


@dataclass
class BatchProvider:
    """What the provider has, and what it is told to do.

    Attributes:
        answer: From a prompt to an answer, or to how the item failed.
        pending_polls: So many times a batch has not ended when it is asked for.
        lost_replies: So many batches are taken, and the reply is lost.
        refusals: Statuses with which the next batches are refused; 0 for one that is taken.
        failing_looks: Statuses with which the next looks fail.
        submitted: The ids of each batch's requests, by batch.
        fetched: How often results were fetched.
        cancelled: Batches that were cancelled.
    """

    answer: Script
    pending_polls: int = 0
    lost_replies: int = 0
    refusals: list[int] = field(default_factory=list)
    failing_looks: list[int] = field(default_factory=list)
    submitted: dict[str, list[str]] = field(default_factory=dict)
    fetched: int = 0
    cancelled: list[str] = field(default_factory=list)
    requests_max: int = 100
    prompts: dict[str, str] = field(default_factory=dict)
    _polls: dict[str, int] = field(default_factory=dict)

    def registry(self, **more: Any) -> ModelRegistry:
        """Return models of which this provider runs the batches."""
        model = AiModel(key="scripted", provider="scripted", **more)
        return ModelRegistry(
            [model], resolvers={"scripted": lambda _: ScriptedModel(self)}, default="scripted"
        )

    def status(self, batch_id: str) -> BatchStatus:
        """Say how a batch is, and count that it was asked for."""
        self._polls[batch_id] = self._polls.get(batch_id, 0) + 1
        is_over = self._polls[batch_id] > self.pending_polls or batch_id in self.cancelled
        return "ended" if is_over else "in_progress"


class ScriptedModel(FunctionModel):
    """A model whose batches are those of a `BatchProvider`, in every instance."""

    def __init__(self, provider: BatchProvider) -> None:
        super().__init__(lambda messages, info: ModelResponse(parts=[]), model_name="gpt-5-mini")
        self._batches = provider

    @property
    def batch_max_requests(self) -> int:
        return self._batches.requests_max

    async def batch_encode(self, request: BatchRequest) -> EncodedBatchRequest:
        prompt = request.messages[-1].parts[0].content  # type: ignore[union-attr]
        return EncodedBatchRequest(custom_id=request.custom_id, group="one", body=json.dumps(prompt))

    async def batch_create(self, requests: Sequence[EncodedBatchRequest]) -> Batch:
        if self._batches.refusals and (status := self._batches.refusals.pop(0)):
            raise ModelHTTPError(status, self.model_name, "no")
        batch_id = f"batch-{uuid.uuid4().hex[:8]}"
        self._batches.submitted[batch_id] = [each.custom_id for each in requests]
        self._batches.prompts.update({each.custom_id: json.loads(each.body) for each in requests})
        if self._batches.lost_replies:
            self._batches.lost_replies -= 1
            raise ModelAPIError(self.model_name, "the connection broke")
        return Batch(
            id=batch_id,
            model_name=self.model_name,
            provider_name="openai",
            group="one",
            status="in_progress",
            created_at=datetime(2026, 11, 22, tzinfo=UTC),
            request_count=len(requests),
        )

    async def batch_status(self, batch: Batch) -> Batch:
        if self._batches.failing_looks:
            raise ModelHTTPError(self._batches.failing_looks.pop(0), self.model_name, "not now")
        return replace(batch, status=self._batches.status(batch.id))

    async def batch_cancel(self, batch: Batch) -> Batch:
        self._batches.cancelled.append(batch.id)
        return replace(batch, status="canceling")

    async def batch_results(self, batch: Batch) -> list[BatchResult]:
        self._batches.fetched += 1
        told = [
            each for each in self._batches.submitted[batch.id] if self._batches.prompts[each] != "forgotten"
        ]
        return [self._result(each) for each in reversed(told)]

    def batch_decode(self, result: BatchResult, request: BatchRequest) -> ModelResponse:
        if result.status == "errored":
            raise ModelHTTPError(int(result.body or 500), self.model_name, "the item failed")
        if result.status != "succeeded":
            raise ModelAPIError(self.model_name, f"the item was {result.status}")
        return ModelResponse(
            parts=[TextPart(result.body or "")],
            usage=RequestUsage(input_tokens=1_000, output_tokens=200),
            model_name="gpt-5-mini",
            provider_name="openai",
            provider_details={"processing": "batch"},
        )

    def _result(self, custom_id: str) -> BatchResult:
        said = self._batches.answer(self._batches.prompts[custom_id])
        if isinstance(said, BatchResult):
            return replace(said, custom_id=custom_id)
        return BatchResult(custom_id=custom_id, status="succeeded", body=said)


_: type[Model] = ScriptedModel
