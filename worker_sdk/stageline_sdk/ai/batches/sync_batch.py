"""`ctx.ai.sync.batch(...)`: batches for plain `def` stages, which run in threads."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

from stageline_sdk.ai.batches.batch import AiBatch, BatchStatus
from stageline_sdk.ai.batches.handle import BatchHandle
from stageline_sdk.ai.batches.items import BatchResults, Items

T = TypeVar("T")


class SyncAiBatch(Generic[T]):
    """The methods of `AiBatch` for code without a loop: each waits for its answer."""

    def __init__(self, batch: AiBatch[T], run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        """Take a batch, and what runs its calls elsewhere and waits for them."""
        self._batch = batch
        self._run = run

    def submit(self, items: Items) -> BatchHandle:
        """See `AiBatch.submit`."""
        handle: BatchHandle = self._run(self._batch.submit(items))
        return handle

    def status(self, handle: BatchHandle) -> BatchStatus:
        """See `AiBatch.status`."""
        status: BatchStatus = self._run(self._batch.status(handle))
        return status

    def results(self, handle: BatchHandle, *, prompts: Mapping[str, Any] | None = None) -> BatchResults[T]:
        """See `AiBatch.results`."""
        results: BatchResults[T] = self._run(self._batch.results(handle, prompts=prompts))
        return results

    def cancel(self, handle: BatchHandle) -> None:
        """See `AiBatch.cancel`."""
        self._run(self._batch.cancel(handle))
