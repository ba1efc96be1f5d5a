"""What goes into a batch, and what comes out of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Generic, Literal

from typing_extensions import TypeVar

from stageline_sdk.ai.batches.errors import BatchItemsError
from stageline_sdk.ai.options import Prompt

T = TypeVar("T", default=Any)

ITEMS_MAX = 100_000
"""Items of one call; the provider's own limit of a batch cuts it into several."""
ITEM_ID_LENGTH_MAX = 255
"""An item's id, in characters."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What was said before a prompt.

    Attributes:
        role: By whom.
        text: What.
    """

    role: Literal["user", "model"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem:
    """One request of a batch.

    Attributes:
        id: Names it among the others: 1 to 255 characters. Answers come back under it.
        prompt: A text, or texts and `Media` in their order.
        instructions: What goes before it, as the system's word. Default: those of the batch.
        history: What was said before the prompt. Default: nothing.
    """

    id: str
    prompt: Prompt
    instructions: str | None = None
    history: Sequence[Turn] = ()


Items = Mapping[str, str] | Sequence[BatchItem]
"""Prompts by id, or items."""

FailureReason = Literal["provider", "invalid-output", "expired", "cancelled", "missing", "not-submitted"]
"""Why an item has no result: the provider answered with an error; the answer does not fit the output's type; the batch
expired, or was cancelled, before the model ran it; the ended batch has no word of it; the batch never reached the provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSucceeded(Generic[T]):
    """An item that was answered.

    Attributes:
        id: The item's.
        output: The answer, of the output's type.
        cost_usd: What it cost, in US dollars; None if its price is unknown.
    """

    id: str
    output: T
    cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFailed:
    """An item without a result.

    Attributes:
        id: The item's.
        reason: Why.
        message: For people.
        is_retryable: Whether a next batch may answer it.
        cost_usd: What it cost all the same; None if that is unknown.
    """

    id: str
    reason: FailureReason
    message: str
    is_retryable: bool
    cost_usd: Decimal | None = None


ItemResult = ItemSucceeded[T] | ItemFailed


@dataclass(frozen=True)
class BatchResults(Generic[T]):
    """The results of all items, in the order in which they were submitted.

    Attributes:
        items: One result for each item.
    """

    items: tuple[ItemSucceeded[T] | ItemFailed, ...]

    def __iter__(self) -> Iterator[ItemSucceeded[T] | ItemFailed]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def outputs(self) -> Mapping[str, T]:
        """The answers of the items that succeeded, by item id."""
        return {each.id: each.output for each in self.items if isinstance(each, ItemSucceeded)}

    @cached_property
    def failures(self) -> Mapping[str, ItemFailed]:
        """The items that failed, by item id."""
        return {each.id: each for each in self.items if isinstance(each, ItemFailed)}

    @property
    def cost_usd(self) -> Decimal | None:
        """What all of them cost; None if one's cost is unknown."""
        costs = [each.cost_usd for each in self.items]
        return None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))


def checked_items(items: Items) -> tuple[BatchItem, ...]:
    """Return items as a batch takes them.

    Raises:
        BatchItemsError: There is none, or there are too many; or an id is empty, too long, or used twice.
    """
    given = (
        [BatchItem(id=id_, prompt=prompt) for id_, prompt in items.items()]
        if isinstance(items, Mapping)
        else items
    )
    if not 1 <= len(given) <= ITEMS_MAX:
        raise BatchItemsError(f"items: a batch has 1 to {ITEMS_MAX:,} items, got {len(given):,}")
    seen: set[str] = set()
    for number, item in enumerate(given):
        if not 1 <= len(item.id) <= ITEM_ID_LENGTH_MAX:
            raise BatchItemsError(
                f"items[{number}].id has 1 to {ITEM_ID_LENGTH_MAX} characters, got {len(item.id)}"
            )
        if item.id in seen:
            raise BatchItemsError(f"items[{number}].id {item.id!r} is used twice: answers come back by id")
        seen.add(item.id)
    return tuple(given)
