"""What a response cost."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from genai_prices.types import ModelPrice
from pydantic_ai.embeddings import EmbeddingResult
from pydantic_ai.messages import ModelResponse
from pydantic_ai.usage import RequestUsage

from stageline_sdk.ai.models import ModelPrices
from stageline_sdk.ai.records import COST_DECIMALS_MAX, CostSource

_LEAST = Decimal(1).scaleb(-COST_DECIMALS_MAX)


@dataclass(frozen=True, slots=True)
class Price:
    """A cost in US dollars that is known, and where it comes from."""

    usd: Decimal
    source: CostSource


def price_of(
    response: ModelResponse | EmbeddingResult, prices: ModelPrices | None, *, is_batch: bool = False
) -> Price | None:
    """Return what a response cost: what the provider says, else by the registered prices, else by the list of prices.

    Args:
        response: The response. Each is priced alone: tiers and variants are those of one request.
        prices: The model's registered prices.
        is_batch: Whether it is of a batch. The provider and the list of prices know by themselves; the discount of
            registered prices is taken off.

    Returns:
        None where nobody knows, which is not 0.
    """
    reported = (response.provider_details or {}).get("cost")
    if reported is not None:
        return Price(_exact(Decimal(str(reported))), "provider")
    if response.usage.unmeasured_requests:  # Its counts say nothing: they would give a price of 0.
        return None
    if prices is not None:
        return Price(_exact(_registered(response.usage, prices, is_batch=is_batch)), "caller")
    listed = _listed(response.cost)
    return None if listed is None else Price(_exact(listed), "price-list")


def _registered(usage: RequestUsage, prices: ModelPrices, *, is_batch: bool) -> Decimal:
    table = ModelPrice(
        input_mtok=prices.input,
        cache_read_mtok=prices.input if prices.cached_input is None else prices.cached_input,
        output_mtok=prices.output,
    )
    total: Decimal = table.calc_price(usage)["total_price"]
    return total * (1 - prices.batch_discount) if is_batch else total


def _listed(cost: Callable[[], Any]) -> Decimal | None:
    try:
        return Decimal(cost().total_price)
    except (LookupError, ValueError, AssertionError):  # The last one: the response names no model.
        return None


def _exact(cost: Decimal) -> Decimal:
    return cost.quantize(_LEAST, ROUND_HALF_EVEN).normalize() + 0
