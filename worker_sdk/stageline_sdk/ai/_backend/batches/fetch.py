"""Fetches the results of a part, books them, and takes the input away."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic_ai.models.batch import Batch, BatchResult

from stageline_sdk.ai._backend.batches.answers import Answer, Refusal, read
from stageline_sdk.ai._backend.batches.desk import BatchDesk
from stageline_sdk.ai._backend.batches.faults import told_in_our_words
from stageline_sdk.ai._backend.batches.wire import WholeBatchError, request_of
from stageline_sdk.ai.batches.errors import BatchNotEndedError
from stageline_sdk.ai.batches.handle import BatchPart
from stageline_sdk.ai.batches.host import BatchHost, BatchTerms
from stageline_sdk.ai.batches.items import BatchItem, ItemFailed, ItemResult, ItemSucceeded
from stageline_sdk.ai.batches.naming import custom_id, mark_of, usage_id
from stageline_sdk.ai.batches.output import InvalidOutputError
from stageline_sdk.ai.records import UsageRecord

_ERROR_LENGTH_MAX = 1_000
_NOTHING = Decimal(0)


class PartResults:
    """What became of the items of one part.

    Fetched twice, it gives the same results and the same records.
    """

    def __init__(
        self, desk: BatchDesk, terms: BatchTerms, host: BatchHost, part: BatchPart, prompts: Mapping[str, Any]
    ) -> None:
        """Take the part, and what was asked, for the records."""
        self._desk, self._terms, self._host, self._part, self._prompts = desk, terms, host, part, prompts
        self._item_ids = {custom_id(mark_of(part.key), item_id): item_id for item_id in part.item_ids}

    async def fetch(self) -> list[ItemResult[Any]]:
        """Return one result for each item.

        Raises:
            BatchNotEndedError: The batch goes on.
            ProviderUnavailableError: The provider cannot be asked at the moment.
        """
        batch = await self._desk.locate(self._part)
        if batch is None:
            return [self._not_submitted(item_id) for item_id in self._part.item_ids]
        if batch.status != "ended":
            raise BatchNotEndedError(f"batch {batch.id} has not ended: ask status() before results()")
        with told_in_our_words(self._terms.model.key, f"cannot fetch the results of batch {batch.id}"):
            answered = await self._answered(batch)
            await self._desk.provider.clean_up(batch)
        missing = (item_id for item_id in self._part.item_ids if item_id not in answered)
        return [*answered.values(), *(self._unlisted(batch, item_id) for item_id in missing)]

    async def _answered(self, batch: Batch) -> dict[str, ItemResult[Any]]:
        try:
            results = await self._desk.provider.results(batch)
        except WholeBatchError as error:
            refusal = Refusal(error.reason, str(error), error.reason != "cancelled")
            return {item_id: self._refused(batch, item_id, refusal) for item_id in self._part.item_ids}
        # Only how to read answers matters from here on, and that is the same for all items.
        request = request_of(BatchItem(id="", prompt=""), "", self._terms.output, self._desk.settings)
        own, answered = set(self._part.item_ids), dict[str, ItemResult[Any]]()
        for result in results:
            said = read(self._desk.provider.model, self._terms.model, result, request)
            item_id = self._item_id(result)
            answer = self._result(batch, item_id, said)
            if item_id in own:
                answered[item_id] = answer
        return answered

    def _item_id(self, result: BatchResult) -> str:
        """Return the item of a result; the provider's id of it, if an earlier attempt has submitted what this one did not."""
        return self._item_ids.get(result.custom_id, result.custom_id)

    def _result(self, batch: Batch, item_id: str, said: Answer | Refusal) -> ItemResult[Any]:
        if isinstance(said, Refusal):
            return self._refused(batch, item_id, said)
        try:
            output = self._terms.output.parse(said.said)
        except InvalidOutputError as error:
            message = f"the answer is no {self._terms.output.name}: {error}"
            if said.finish_reason == "length":
                message += " (it was cut off at the limit of its tokens)"
            self._book(batch, item_id, said, message)
            return ItemFailed(
                id=item_id,
                reason="invalid-output",
                message=message,
                is_retryable=True,
                cost_usd=said.cost_usd,
            )
        self._book(batch, item_id, said)
        return ItemSucceeded(id=item_id, output=output, cost_usd=said.cost_usd)

    def _refused(self, batch: Batch, item_id: str, refusal: Refusal) -> ItemFailed:
        """Take an item without an answer: it costs nothing, unless the provider has no word of it, which is unknown."""
        nothing = None if refusal.reason == "missing" else 0
        cost = None if nothing is None else _NOTHING
        unanswered = Answer(
            said="",
            finish_reason="",
            model_id="",
            input_tokens=nothing,
            output_tokens=nothing,
            cached_input_tokens=nothing,
            reasoning_tokens=nothing,
            cost_usd=cost,
            cost_source="provider",
        )
        self._book(batch, item_id, unanswered, refusal.message)
        return ItemFailed(
            id=item_id,
            reason=refusal.reason,
            message=refusal.message,
            is_retryable=refusal.is_retryable,
            cost_usd=cost,
        )

    def _unlisted(self, batch: Batch, item_id: str) -> ItemFailed:
        reason, message = self._desk.provider.why_unlisted(batch)
        return self._refused(batch, item_id, Refusal(reason, message, reason in {"expired", "missing"}))

    def _not_submitted(self, item_id: str) -> ItemFailed:
        """Of what never reached the provider there is no record."""
        return ItemFailed(
            id=item_id,
            reason="not-submitted",
            message=f"a crash left batch {self._part.key} in doubt, and the provider turned out not to have it",
            is_retryable=True,
            cost_usd=_NOTHING,
        )

    def _book(self, batch: Batch, item_id: str, said: Answer, error: str = "") -> None:
        self._host.record(
            UsageRecord(
                id=usage_id(batch.provider_name, batch.id, item_id),
                topic=self._terms.topic,
                call_type="batch",
                model=self._terms.model.key,
                model_id=said.model_id or batch.model_name,
                provider=batch.provider_name,
                prompt=self._prompts.get(item_id),
                response=said.said or None,
                input_tokens=said.input_tokens,
                output_tokens=said.output_tokens,
                cached_input_tokens=said.cached_input_tokens,
                reasoning_tokens=said.reasoning_tokens,
                cost_usd=said.cost_usd,
                cost_source=said.cost_source,
                started_at=batch.created_at,
                metadata={"item": item_id, **self._terms.options.get("metadata", {})},
                contents=self._terms.options.get("contents"),
                batch_id=batch.id,
                error=error[:_ERROR_LENGTH_MAX],
            )
        )
