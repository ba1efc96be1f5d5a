"""What a batch stage knows between two checks, and what it makes of the results: values only."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from stageline_sdk.ai.batches.handle import BatchHandle
from stageline_sdk.ai.batches.items import BatchResults, ItemFailed


class BatchStageState(BaseModel):
    """The state of a batch stage's suspension.

    Attributes:
        version: Of this form.
        rounds: The batch of all items, then each batch of those that the one before failed for a moment.
        submitted: Batches that were submitted, those included that turned out never to have reached the provider.
    """

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    rounds: tuple[BatchHandle, ...]
    submitted: int = 1

    def followed_by(self, handle: BatchHandle, *, in_place_of_last: bool) -> "BatchStageState":
        """Return the state with one more batch.

        Args:
            handle: The batch.
            in_place_of_last: Whether the last one never reached the provider, and so does not count.
        """
        kept = self.rounds[:-1] if in_place_of_last else self.rounds
        return BatchStageState(rounds=(*kept, handle), submitted=self.submitted + 1)


def to_repeat(results: BatchResults[Any], rounds: int, attempts_max: int) -> Sequence[str]:
    """Return the items that a next batch may answer; none where they had their attempts.

    Args:
        results: Of the last batch.
        rounds: Batches so far, that one included.
        attempts_max: Attempts that each item has.
    """
    failed = [each for each in results if isinstance(each, ItemFailed)]
    has_attempts_left = rounds < attempts_max
    return [
        each.id
        for each in failed
        if each.reason == "not-submitted" or (each.is_retryable and has_attempts_left)
    ]


def never_arrived(results: BatchResults[Any]) -> bool:
    """Whether nothing of a batch reached the provider."""
    return all(isinstance(each, ItemFailed) and each.reason == "not-submitted" for each in results)


def merged(rounds: Sequence[BatchResults[Any]]) -> BatchResults[Any]:
    """Return one result for each item of the first batch: its last one."""
    last = {each.id: each for results in rounds for each in results}
    return BatchResults(tuple(last[each.id] for each in rounds[0]))
