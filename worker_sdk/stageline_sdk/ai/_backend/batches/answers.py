"""What a provider says of one item of a batch, in our own words."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.models.batch import BatchRequest, BatchResult

from stageline_sdk.ai._backend.failures import is_transient
from stageline_sdk.ai._backend.prices import price_of
from stageline_sdk.ai.batches.items import FailureReason
from stageline_sdk.ai.models import AiModel
from stageline_sdk.ai.records import CostSource

_REASONS: Mapping[str, FailureReason] = {"expired": "expired", "canceled": "cancelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An item that a model answered.

    Attributes:
        said: Its text, or the arguments of the tool by which it was asked for an object.
        finish_reason: Why it ended.
        model_id: Provider's id of the model that answered.
        input_tokens: In all; None if it did not say.
        output_tokens: In all.
        cached_input_tokens: Those from the provider's cache.
        reasoning_tokens: Those spent on reasoning.
        cost_usd: At batch prices; None if unknown.
        cost_source: Where that comes from.
    """

    said: str | Mapping[str, Any]
    finish_reason: str
    model_id: str
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: Decimal | None
    cost_source: CostSource


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that no model answered; it costs nothing.

    Attributes:
        reason: Why.
        message: For people.
        is_retryable: Whether a next batch may answer it.
    """

    reason: FailureReason
    message: str
    is_retryable: bool


def read(model: Model, entry: AiModel, result: BatchResult, request: BatchRequest) -> Answer | Refusal:
    """Return what the provider says of an item.

    Args:
        model: The model that the batch was submitted to.
        entry: The same in the registry, with prices of its own, if any.
        result: What the provider says.
        request: The item's request, as far as it says how to read answers: its messages do not matter.
    """
    try:
        response = model.batch_decode(result, request)
    except ModelAPIError as error:
        reason = _REASONS.get(result.status, "provider")
        return Refusal(reason, str(error), result.status == "expired" or is_transient(error))
    except (UnexpectedModelBehavior, ValueError, KeyError) as error:
        return Refusal("provider", f"the provider's answer cannot be read: {error}", is_retryable=True)
    return _answer(response, entry)


def _answer(response: ModelResponse, entry: AiModel) -> Answer:
    usage = response.usage
    is_measured = not usage.unmeasured_requests
    price = price_of(response, entry.prices, is_batch=True)
    said: str | Mapping[str, Any] = response.text or ""
    if response.tool_calls:
        said = response.tool_calls[0].args or "{}"
    return Answer(
        said=said,
        finish_reason=response.finish_reason or "",
        model_id=response.model_name or "",
        input_tokens=usage.input_tokens if is_measured else None,
        output_tokens=usage.output_tokens if is_measured else None,
        cached_input_tokens=usage.cache_read_tokens if is_measured else None,
        reasoning_tokens=usage.output_reasoning_tokens if is_measured else None,
        cost_usd=None if price is None else price.usd,
        cost_source="price-list" if price is None else price.source,
    )
