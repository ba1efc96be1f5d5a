"""The record of one AI call."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from stageline_sdk._uuid7 import uuid7

CallType = Literal["text", "object", "embed", "stream", "batch"]
"""Kinds of calls."""
CostSource = Literal["provider", "price-list", "caller"]
"""Where a cost comes from: the provider's answer, tokens and a list of prices, or whoever made the call."""
Contents = Literal["full", "hash", "none"]
"""What is kept of prompt and response; the server's own setting counts too, and the stricter of both wins."""

TOPIC_LENGTH_MAX = 255
COST_DECIMALS_MAX = 12
COST_MAX_USD = 10**9
_TOPIC = re.compile(r"[A-Za-z0-9._:/-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """One call of a model. What is unknown is None, which is not 0.

    Attributes:
        topic: What it was for, as a dotted path of `[A-Za-z0-9._:/-]`, at most 255 characters.
        call_type: Its kind.
        model: The name by which the code asked for the model.
        model_id: The provider's id of the model that answered.
        provider: Such as `openai`.
        prompt: What was asked; anything that JSON can show. None keeps it back.
        response: What was answered.
        input_tokens: In all, cached ones included.
        output_tokens: In all, reasoning ones included.
        cached_input_tokens: Those that were read from the provider's cache.
        reasoning_tokens: Those that were spent on reasoning.
        cost_usd: In US dollars, exact: at most 12 decimals, under a billion.
        cost_source: Where the cost comes from.
        latency: From the request to the end of the answer.
        started_at: When the request was sent, with a time zone. Default: now.
        metadata: More about it; JSON values, at most 16 KiB.
        batch_id: The provider's id of the batch that it was part of.
        error: What went wrong; empty for a success.
        contents: What is kept of prompt and response. None leaves it to the server.
        id: Of records with one id the first counts. Default: a new one.
        is_open: The call only begins: a second record of this id tells the rest, and counts. Should the worker be killed
            meanwhile, this one stays, as a call of unknown cost. Such a record has neither tokens nor cost.
    """

    topic: str
    call_type: CallType = "text"
    model: str = ""
    model_id: str = ""
    provider: str = ""
    prompt: Any = None
    response: Any = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: Decimal | None = None
    cost_source: CostSource = "caller"
    latency: timedelta | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    metadata: Mapping[str, Any] = field(default_factory=dict)
    batch_id: str = ""
    error: str = ""
    contents: Contents | None = None
    id: str = field(default_factory=uuid7)
    is_open: bool = False

    def __post_init__(self) -> None:
        """Check what the server would refuse, where the mistake was made.

        Raises:
            TypeError: The cost is a float.
            ValueError: The topic, a count of tokens, the cost or the id breaks its rule.
        """
        if not _TOPIC.fullmatch(self.topic) or len(self.topic) > TOPIC_LENGTH_MAX:
            raise ValueError(
                f"a topic has 1 to {TOPIC_LENGTH_MAX} characters of [A-Za-z0-9._:/-], got {self.topic[:300]!r}"
            )
        for name in ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens"):
            count = getattr(self, name)
            if count is not None and count < 0:
                raise ValueError(f"{name} must be 0 or more, got {count}")
        if self.cost_usd is not None:
            if self.is_open:
                raise ValueError("a call that is open has no cost yet")
            _check_cost(self.cost_usd)
        if str(uuid.UUID(self.id)) != self.id:
            raise ValueError(f"a record's id is a UUID in its usual form, got {self.id!r}")


def exact_cost(cost: Decimal | int | str | None) -> Decimal | None:
    """Return a cost as an exact number.

    Raises:
        TypeError: It is a float, which no amount of money is.
        ValueError: It is no number, or out of its range.
    """
    if cost is None:
        return None
    if isinstance(cost, float):
        raise TypeError(
            f"cost_usd={cost!r} is a float, which cannot hold an amount exactly: give a Decimal or a str"
        )
    try:
        exact = Decimal(cost)
    except ArithmeticError:
        raise ValueError(f"cost_usd={cost!r} is no decimal number") from None
    _check_cost(exact)
    return exact


def _check_cost(cost: Decimal) -> None:
    exponent = cost.as_tuple().exponent
    is_fine = isinstance(exponent, int) and -exponent <= COST_DECIMALS_MAX and 0 <= cost < COST_MAX_USD
    if not is_fine:
        raise ValueError(
            f"cost_usd must be 0 to under {COST_MAX_USD} with at most {COST_DECIMALS_MAX} decimals, got {cost}"
        )
