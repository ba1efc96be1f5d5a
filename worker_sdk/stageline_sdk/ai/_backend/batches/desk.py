"""Submits the parts of a batch, each of them once, and finds them again."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from pydantic_ai.models import Model
from pydantic_ai.models.batch import Batch, EncodedBatchRequest

from stageline_sdk.ai._backend.batches.faults import NOTHING_WAS_SUBMITTED, told_in_our_words
from stageline_sdk.ai._backend.batches.wire import (
    BATCH_ADAPTER,
    FindableBatches,
    batch_settings,
    batches_of,
    chunked,
    request_of,
)
from stageline_sdk.ai.batches.handle import BatchHandle, BatchPart
from stageline_sdk.ai.batches.host import BatchHost, BatchTerms
from stageline_sdk.ai.batches.items import BatchItem
from stageline_sdk.ai.batches.naming import custom_id, earliest_start, mark_of, prompts_digest
from stageline_sdk.ai.batches.reference import candidates_of
from stageline_sdk.ai.errors import AiError, UnusableModelError
from stageline_sdk.errors import NonRetryableError

_PLACEHOLDER = "0" * len(mark_of(""))


class BatchDesk:
    """The batches of one model, for one stage."""

    def __init__(self, terms: BatchTerms, host: BatchHost, model: Model) -> None:
        """Take what is asked for, the stage, and what runs batches of the model.

        Raises:
            UnusableModelError: It runs no batches.
        """
        limit = model.batch_max_requests
        if limit is None:
            raise UnusableModelError(
                f"model {terms.model.key!r}: {type(model).__name__} has no batch interface"
            )
        self.requests_max = min(terms.options.get("requests_max", limit), limit)
        self.settings = batch_settings(host.scope, terms.options, model)
        self.provider = batches_of(model)
        self._terms, self._host = terms, host

    async def submit(self, items: Sequence[BatchItem], now: datetime) -> BatchHandle:
        """Submit items in as many batches as it takes, one after another."""
        requests = await self._encode(items)
        item_ids = {custom_id(_PLACEHOLDER, item.id): item.id for item in items}
        parts: list[BatchPart] = []
        try:
            for number, chunk in enumerate(
                chunked(self.provider.model, requests, self.requests_max), start=1
            ):
                parts.append(await self._submit_part(f"{self._terms.name}.{number}", chunk, item_ids))
        except NonRetryableError:
            await self._give_up(parts)
            raise
        return BatchHandle(
            model=self._terms.model.key,
            output_type=self._terms.output.name,
            prompts_sha256=prompts_digest(item.prompt for item in items),
            submitted_at=now,
            parts=tuple(parts),
        )

    async def locate(self, part: BatchPart) -> Batch | None:
        """Return a part's batch as the provider has it now; None if the provider never had one.

        Of a part in doubt it is a batch that goes on, until one that has ended turns out to be it, or none does.
        """
        with self._told("cannot ask how the batch is"):
            if part.batch is not None:
                return await self.provider.model.batch_status(BATCH_ADAPTER.validate_python(part.batch))
            going_on: Batch | None = None
            for each in part.candidates:
                batch = await self.provider.model.batch_status(BATCH_ADAPTER.validate_python(each))
                if batch.status != "ended":
                    going_on = batch
                elif await self.provider.owns(batch, mark_of(part.key)):
                    return batch
            return going_on

    async def cancel(self, part: BatchPart) -> None:
        """Have the provider cancel a part's batch, unless it has ended, or may be another's."""
        if part.batch is None:
            return
        batch = await self.locate(part)
        if batch is not None and batch.status == "in_progress":
            with self._told("cannot cancel the batch"):
                await self.provider.model.batch_cancel(batch)

    async def _give_up(self, parts: Sequence[BatchPart]) -> None:
        """Cancel what was submitted before a part that never will be: nobody would fetch it."""
        for part in parts:
            with suppress(AiError):
                await self.cancel(part)

    def _told(self, what: str) -> AbstractContextManager[None]:
        return told_in_our_words(self._terms.model.key, what)

    async def _encode(self, items: Sequence[BatchItem]) -> list[EncodedBatchRequest]:
        with self._told("cannot be asked this in a batch"):
            return [
                await self.provider.model.batch_encode(
                    request_of(item, custom_id(_PLACEHOLDER, item.id), self._terms.output, self.settings)
                )
                for item in items
            ]

    def _with_instructions(self, item: BatchItem) -> BatchItem:
        if item.instructions is not None:
            return item
        return replace(item, instructions=self._terms.options.get("instructions"))

    async def _submit_part(
        self, name: str, chunk: Sequence[EncodedBatchRequest], item_ids: dict[str, str]
    ) -> BatchPart:
        made: list[Batch] = []

        async def submit(key: str) -> str:
            with self._told(f"batch {key} was not taken"):
                made.append(await self.provider.create(_marked(chunk, key), key))
            return made[0].id

        provider = self.provider
        look_up = (
            partial(self._look_up, provider, len(chunk)) if isinstance(provider, FindableBatches) else None
        )
        reference = await self._host.stage.submit_once(
            name,
            submit,
            look_up,
            refusals=NOTHING_WAS_SUBMITTED,
        )
        key = next(each.key for each in self._host.stage.submissions if each.reference == reference)
        part = BatchPart(key=key, item_ids=tuple(item_ids[each.custom_id] for each in chunk))
        if made:
            return part.model_copy(update={"batch": _dumped(made[0])})
        return await self._adopt(part, reference, chunk)

    async def _adopt(
        self, part: BatchPart, reference: str, chunk: Sequence[EncodedBatchRequest]
    ) -> BatchPart:
        """Take over what an earlier attempt has submitted."""
        candidates = candidates_of(reference)
        with self._told("cannot ask for the batch of an earlier attempt"):
            found = [
                _dumped(await self.provider.adopt(each, chunk[0].group, len(chunk)))
                for each in candidates or (reference,)
            ]
        if candidates:
            return part.model_copy(update={"candidates": tuple(found)})
        return part.model_copy(update={"batch": found[0]})

    async def _look_up(self, provider: FindableBatches, count: int, key: str) -> str | None:
        """Ask the provider whether it has a batch; where it has none, ask again: what was sent may still be on its way."""
        taken = frozenset(each.reference for each in self._host.stage.submissions)
        since = earliest_start(self._host.stage.run_id)
        with self._told(f"cannot ask whether batch {key} was taken"):
            found = await provider.look_up(key, count, since, taken)
            if found is None and self._terms.look_again_after:
                await asyncio.sleep(self._terms.look_again_after.total_seconds())
                found = await provider.look_up(key, count, since, taken)
            return found


def _marked(chunk: Sequence[EncodedBatchRequest], key: str) -> list[EncodedBatchRequest]:
    """Return the requests of a part with the mark of its key in their ids."""
    mark = mark_of(key)
    return [replace(each, custom_id=mark + each.custom_id.removeprefix(_PLACEHOLDER)) for each in chunk]


def _dumped(batch: Batch) -> dict[str, Any]:
    dumped: dict[str, Any] = BATCH_ADAPTER.dump_python(batch, mode="json")
    return dumped
