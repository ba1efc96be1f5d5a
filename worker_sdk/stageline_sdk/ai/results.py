"""What calls of models return."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, TypeVar

from stageline_sdk.ai.records import CostSource

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUsage:
    """What a call took, all its requests together. What is unknown is None, which is not 0.

    Attributes:
        record_id: Id of its record in the ledger.
        input_tokens: In all, cached ones included.
        output_tokens: In all, reasoning ones included.
        cached_input_tokens: Those that were read from the provider's cache.
        reasoning_tokens: Those that were spent on reasoning.
        cost_usd: In US dollars, exact to 12 decimals.
        cost_source: Where the cost comes from.
        requests: Requests that were sent to the model, also those that failed.
    """

    record_id: str
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: Decimal | None
    cost_source: CostSource
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextResult:
    """What a model wrote.

    Attributes:
        text: The answer; never its reasoning.
        reasoning: What it told of its reasoning; empty where it told nothing.
        finish_reason: Why it ended: `stop`, `length`, `content_filter`, `tool_call` or `error`; empty where it is unknown.
        model_id: The provider's id of the model that answered.
        usage: What the call took.
    """

    text: str
    reasoning: str
    finish_reason: str
    model_id: str
    usage: CallUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectResult(Generic[T]):
    """An answer of the type that was asked for.

    Attributes:
        value: The answer.
        reasoning: What the model told of its reasoning; empty where it told nothing.
        model_id: The provider's id of the model that answered.
        usage: What the call took.
    """

    value: T
    reasoning: str
    model_id: str
    usage: CallUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedResult:
    """Texts as vectors.

    Attributes:
        vectors: One for each text, in their order.
        model_id: The provider's id of the model that answered.
        usage: What the call took.
    """

    vectors: Sequence[Sequence[float]]
    model_id: str
    usage: CallUsage

    @property
    def vector(self) -> Sequence[float]:
        """The first one: of a call with one text the only one."""
        return self.vectors[0]

    @property
    def dimensions(self) -> int:
        """How long the vectors are, whatever was asked for."""
        return len(self.vectors[0])
