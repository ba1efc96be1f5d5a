"""Batches at Anthropic, which takes no key: a batch is known by the ids of its requests, once its results can be read."""

from datetime import datetime

from anthropic import AsyncAnthropic
from anthropic.types.beta.messages import BetaMessageBatch
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.batch import Batch

from stageline_sdk.ai._backend.batches.wire import FindableBatches
from stageline_sdk.ai.batches.errors import LookUpUnfinishedError
from stageline_sdk.ai.batches.naming import mark_of
from stageline_sdk.ai.batches.reference import CANDIDATES_MAX, in_doubt

LOOKED_THROUGH_MAX = 20_000
_PAGE_SIZE = 1_000


class Batches(FindableBatches):
    """Batches of a model of Anthropic's."""

    @property
    def _client(self) -> AsyncAnthropic:
        assert isinstance(self.model, AnthropicModel)
        client = self.model.client
        assert isinstance(client, AsyncAnthropic)
        return client

    async def look_up(
        self, key: str, request_count: int, since: datetime | None, taken: frozenset[str]
    ) -> str | None:
        """Look for a batch of as many requests since a moment, and for the key's mark in the results of those that ended.

        Of those that go on nobody can say whose they are: the reference then names all of them, and their results will tell.
        """
        candidates: list[str] = []
        seen = 0
        async for each in self._client.beta.messages.batches.list(limit=_PAGE_SIZE):
            if since is not None and each.created_at < since:
                break  # The newest come first.
            seen += 1
            if seen > LOOKED_THROUGH_MAX or len(candidates) > CANDIDATES_MAX:
                raise LookUpUnfinishedError(
                    f"too many batches at Anthropic may be {key}: {len(candidates)} of {seen:,} that were looked at",
                    key=key,
                )
            if each.id in taken or _count(each) != request_count:
                continue
            if each.processing_status != "ended":
                candidates.append(each.id)
            elif await self._has_mark(each.id, mark_of(key)):
                return each.id
        return in_doubt(candidates) if candidates else None

    async def owns(self, batch: Batch, mark: str) -> bool:
        """Look at one result: all of a batch have the same mark."""
        return await self._has_mark(batch.id, mark)

    async def _has_mark(self, batch_id: str, mark: str) -> bool:
        results = await self._client.beta.messages.batches.results(batch_id)
        try:
            async for each in results:
                return each.custom_id.startswith(mark)
            return False
        finally:
            await results.close()


def _count(batch: BetaMessageBatch) -> int:
    counts = batch.request_counts
    return counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
