"""What a fake provider charged, request by request: the other side of the ledger."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stageline_sdk.ai.testing.asked import Asked
from stageline_sdk.ai.testing.replies import Tokens

BATCH_SHARE = Decimal("0.5")
"""What a batch costs of the price of a model that was registered: half, as with all providers that have batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One request that was charged.

    Attributes:
        request_id: The provider's id of the answer.
        provider: Whose protocol it was asked in.
        endpoint: As `Asked.endpoint`.
        model: The model's id.
        tokens: What was charged for.
        cost_usd: In US dollars; None where the model has no price.
        batch_id: The batch that it was an item of; empty for a live call.
        custom_id: The item's id in its batch.
    """

    request_id: str
    provider: str
    endpoint: str
    model: str
    tokens: Tokens
    cost_usd: Decimal | None
    batch_id: str = ""
    custom_id: str = ""


class Bill:
    """The charges of a fake provider, in their order. Safe to use from any thread."""

    def __init__(self, prices: Mapping[str, Any] | None = None) -> None:
        """Start with nothing charged.

        Args:
            prices: A `genai_prices.types.ModelPrice` for each model that `genai-prices` does not know, by the model's id. Items
                of batches cost half of it.
        """
        self._prices = dict(prices or {})
        self._charges: list[Charge] = []
        self._lock = threading.Lock()

    @property
    def charges(self) -> list[Charge]:
        """What was charged so far."""
        with self._lock:
            return list(self._charges)

    @property
    def total_usd(self) -> Decimal:
        """The sum of what has a price."""
        return sum((each.cost_usd or Decimal(0) for each in self.charges), Decimal(0))

    @property
    def unpriced_count(self) -> int:
        """The number of charges whose price is not known."""
        return sum(each.cost_usd is None for each in self.charges)

    def charge(self, asked: Asked, tokens: Tokens, *, request_id: str) -> Charge:
        """Charge a request, and return what it costs."""
        charge = Charge(
            request_id=request_id,
            provider=asked.provider,
            endpoint=asked.endpoint,
            model=asked.model,
            tokens=tokens,
            cost_usd=self._price(asked, tokens),
            batch_id=asked.batch_id,
            custom_id=asked.custom_id,
        )
        with self._lock:
            self._charges.append(charge)
        return charge

    def _price(self, asked: Asked, tokens: Tokens) -> Decimal | None:
        # The price list takes a third of a second to load, and needs the extra `ai`.
        from genai_prices import Usage, calc_price  # noqa: PLC0415

        usage = Usage(
            input_tokens=tokens.input,
            cache_read_tokens=tokens.cached,
            output_tokens=tokens.output,
            output_reasoning_tokens=tokens.reasoning,
        )
        own = self._prices.get(asked.model)
        if own is not None:
            cost = Decimal(own.calc_price(usage)["total_price"])
            return cost * BATCH_SHARE if asked.batch_id else cost
        context = {"processing": "batch"} if asked.batch_id else None
        try:
            return calc_price(
                usage, asked.model, provider_id=asked.provider, price_context=context
            ).total_price
        except LookupError:
            return None
