"""`ctx.ai.batch(...)`: many prompts at once, at a provider's price for work that may take a day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from stageline_sdk.ai.batches.errors import BatchHandleError
from stageline_sdk.ai.batches.handle import BatchHandle, BatchPart
from stageline_sdk.ai.batches.host import BatchHost, BatchTerms
from stageline_sdk.ai.batches.items import BatchItem, BatchResults, Items, checked_items

if TYPE_CHECKING:
    from stageline_sdk.ai._backend.batches.desk import BatchDesk

T = TypeVar("T")

CHECK_AFTER_MIN = timedelta(seconds=30)
CHECK_AFTER_MAX = timedelta(minutes=10)
"""Bounds of the waits between two looks at a batch."""
_WAIT_FRACTION = 4


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far a batch is.

    Attributes:
        is_ended: Whether its results can be fetched.
        parts_ended: How many of the provider's batches have ended.
        parts: How many there are.
        age: Since it was submitted.
    """

    is_ended: bool
    parts_ended: int
    parts: int
    age: timedelta

    @property
    def check_after(self) -> timedelta:
        """Wait before the next look: a quarter of its age, from 30 seconds to ten minutes."""
        return check_after(self.age)


class AiBatch(Generic[T]):
    """Batches of one model, with one type of output. `ctx.ai.batch(...)` makes it.

    Attributes:
        terms: What is asked for.
    """

    def __init__(self, terms: BatchTerms, host: BatchHost) -> None:
        """Take what is asked for, and the stage."""
        self.terms = terms
        self._host = host

    async def submit(self, items: Items) -> BatchHandle:
        """Submit items, once, whatever crashes; return what finds them again.

        A worker that dies while it submits leaves the submission declared. The next attempt asks the provider for it before
        it submits again: OpenAI and Google know it by its key, Anthropic by the ids of the results. A model whose
        batches cannot be looked up fails for good instead, with what may have been submitted on record.

        Args:
            items: Prompts by id, or `BatchItem`s; 1 to 100,000. What is over the provider's limits is cut into several batches.

        Raises:
            BatchItemsError: There is no item, or there are too many, or ids are wrong.
            UnusableModelError: Nobody runs batches of the model.
            RequestRefusedError: The provider refused it. Nothing was submitted.
            RateLimitedError: The provider has too much of it at the moment. Nothing was submitted.
            ProviderUnavailableError: The provider failed, or its answer was lost; the next attempt finds out.
            SuspectedOrphanError: An earlier attempt may have submitted it, and the provider cannot be asked.
        """
        checked = checked_items(items)
        if self._host.scope.is_dry_run:
            return self._dry_handle(checked)
        return await (await self._desk()).submit(checked, datetime.now(UTC))

    async def status(self, handle: BatchHandle) -> BatchStatus:
        """Ask how far a batch is.

        Raises:
            BatchHandleError: The handle is of another model.
            ProviderUnavailableError: The provider cannot be asked at the moment.
        """
        self._check(handle)
        if self._host.scope.is_dry_run:
            return BatchStatus(True, len(handle.parts), len(handle.parts), timedelta(0))
        desk = await self._desk()
        located = [await desk.locate(part) for part in handle.parts]
        ended = [batch is None or batch.status == "ended" for batch in located]
        age = datetime.now(UTC) - handle.submitted_at
        return BatchStatus(all(ended), sum(ended), len(ended), age)

    async def results(
        self, handle: BatchHandle, *, prompts: Mapping[str, Any] | None = None
    ) -> BatchResults[T]:
        """Fetch the results of an ended batch, book each item's cost, and delete the input from the provider.

        Each item is booked once, however often results are fetched, and from whichever process.

        Args:
            handle: What `submit` returned.
            prompts: What was asked, by item id, for the records. Default: they say the hash of all prompts alone.

        Raises:
            BatchNotEndedError: The batch has not ended.
            BatchHandleError: The handle is of another model or output type.
            ProviderUnavailableError: The provider cannot be asked at the moment.
        """
        self._check(handle)
        if self._host.scope.is_dry_run:
            await self._host.scope.runtime.load()
            from stageline_sdk.ai._backend.batches.dry import dry_results  # noqa: PLC0415 - heavy

            return await dry_results(handle, self.terms.output)
        desk = await self._desk()
        from stageline_sdk.ai._backend.batches.fetch import PartResults  # noqa: PLC0415 - heavy, as all of the backend

        by_id = {
            each.id: each
            for part in handle.parts
            for each in await PartResults(desk, self.terms, self._host, part, prompts or {}).fetch()
        }
        return BatchResults(tuple(by_id[item_id] for item_id in handle.item_ids))

    async def cancel(self, handle: BatchHandle) -> None:
        """Have the provider cancel a batch. What it has run already is paid; fetch it with `results` once it has ended.

        A batch that a crash left in doubt is left alone, since it may be another's.

        Raises:
            BatchHandleError: The handle is of another model.
            ProviderUnavailableError: The provider cannot be asked at the moment.
        """
        self._check(handle)
        if self._host.scope.is_dry_run:
            return
        desk = await self._desk()
        for part in handle.parts:
            await desk.cancel(part)

    async def _desk(self) -> "BatchDesk":
        runtime = self._host.scope.runtime
        await runtime.load()
        from stageline_sdk.ai._backend.batches.desk import BatchDesk  # noqa: PLC0415 - heavy, as all of the backend

        return BatchDesk(self.terms, self._host, await (await runtime.clients()).batcher(self.terms.model))

    def _dry_handle(self, items: Sequence[BatchItem]) -> BatchHandle:
        return BatchHandle(
            model=self.terms.model.key,
            output_type=self.terms.output.name,
            prompts_sha256="",
            submitted_at=datetime.now(UTC),
            parts=(BatchPart(key="dry-run", item_ids=tuple(item.id for item in items)),),
        )

    def _check(self, handle: BatchHandle) -> None:
        for what, own, given in (
            ("model", self.terms.model.key, handle.model),
            ("output type", self.terms.output.name, handle.output_type),
        ):
            if own != given:
                raise BatchHandleError(
                    f"the batch was submitted with {what} {given!r}, and is asked for with {own!r}"
                )


def check_after(age: timedelta, least: timedelta = CHECK_AFTER_MIN) -> timedelta:
    """Return how long to wait before the next look at a batch of an age."""
    return min(max(age / _WAIT_FRACTION, least), CHECK_AFTER_MAX)
