"""What a batch stage does when it runs, and when it is checked."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from stageline_sdk.ai.batches.batch import AiBatch, check_after
from stageline_sdk.ai.batches.items import BatchItem, BatchResults, checked_items
from stageline_sdk.ai.batches.options import BatchOptions
from stageline_sdk.ai.batches.rounds import BatchStageState, merged, never_arrived, to_repeat
from stageline_sdk.ai.batches.stored_items import from_stored, shown, to_stored
from stageline_sdk.ai.errors import AiError
from stageline_sdk.context import Context
from stageline_sdk.errors import NotFoundError, RetryableError
from stageline_sdk.suspension import StillWaiting, Suspended

LOOK_AFTER_FAILURE = timedelta(minutes=1)
"""Wait before the next look where the provider could not be asked and did not say when."""

AnyContext = Context[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSteps:
    """A batch stage, as the user defined it; see `ai_batch_stage`."""

    stage_id: str
    prompts: Callable[[Any], Any]
    output_type: Any
    item_attempts: int
    poll_interval: timedelta
    max_wait: timedelta
    options: BatchOptions
    collect: Callable[[Any, Any], Any] | None = None

    def collected_by(self, collect: Callable[[Any, Any], Any]) -> "BatchSteps":
        """Return the same with the function that takes the results."""
        return replace(self, collect=collect)

    async def submit(self, ctx: AnyContext) -> Any:
        """Submit all items, and suspend. An attempt after a suspension goes on with what was submitted."""
        if ctx.resume_state is not None:
            state = BatchStageState.model_validate(ctx.resume_state)
            return self._suspended(state, first_check=timedelta(0))
        given = await _called(self.prompts, ctx)
        if not given:
            return await self._collected(ctx, BatchResults(()))
        items = checked_items(given)
        await ctx.async_storage.put_json(self._storage_key, to_stored(items))
        handle = await self._batch(ctx, 1).submit(items)
        ctx.log.info("submitted a batch", items=len(items), batches=len(handle.parts))
        return self._suspended(BatchStageState(rounds=(handle,)), first_check=self.poll_interval)

    async def check(self, ctx: AnyContext, state: BatchStageState) -> Any:
        """Look how the last batch is; once it has ended, repeat what failed for a moment, or hand over the results."""
        try:
            return await self._look(ctx, state)
        except AiError as error:
            if not isinstance(error, RetryableError):
                raise
            ctx.log.warning("the provider could not be asked; asking again later", error=str(error))
            return StillWaiting(next_check=max(error.retry_after or LOOK_AFTER_FAILURE, timedelta(seconds=1)))

    async def _look(self, ctx: AnyContext, state: BatchStageState) -> Any:
        batch = self._batch(ctx, state.submitted)
        status = await batch.status(state.rounds[-1])
        if not status.is_ended:
            return StillWaiting(next_check=check_after(status.age, self.poll_interval))
        items = {each.id: each for each in await self._items(ctx)}
        asked = {item_id: shown(item) for item_id, item in items.items()}
        last = await batch.results(state.rounds[-1], prompts=asked)
        again = [
            items[item_id]
            for item_id in to_repeat(last, len(state.rounds), self.item_attempts)
            if item_id in items
        ]
        if again:
            following = await self._repeated(ctx, state, again, in_place_of_last=never_arrived(last))
            if following is not None:
                return StillWaiting(next_check=self.poll_interval, state=following)
        earlier = [await batch.results(handle, prompts=asked) for handle in state.rounds[:-1]]
        output = await self._collected(ctx, merged([*earlier, last]))
        await ctx.async_storage.delete(self._storage_key)
        return output

    async def _repeated(
        self, ctx: AnyContext, state: BatchStageState, again: list[BatchItem], *, in_place_of_last: bool
    ) -> BatchStageState | None:
        """Submit items once more; None where the provider refuses them, and what there is must do."""
        try:
            handle = await self._batch(ctx, state.submitted + 1).submit(again)
        except AiError as error:
            if isinstance(error, RetryableError):
                raise
            ctx.log.error("the provider refused the batch of the items that failed", error=str(error))
            return None
        ctx.log.info("submitted the items that failed once more", items=len(again))
        return state.followed_by(handle, in_place_of_last=in_place_of_last)

    async def _items(self, ctx: AnyContext) -> list[BatchItem]:
        try:
            return from_stored(await ctx.async_storage.get_json(self._storage_key))
        except NotFoundError:  # Results were there before, and a worker was lost before it could say so.
            return []

    async def _collected(self, ctx: AnyContext, results: BatchResults[Any]) -> Any:
        assert self.collect is not None
        return await _called(self.collect, ctx, results)

    def _batch(self, ctx: AnyContext, number: int) -> AiBatch[Any]:
        made: AiBatch[Any] = ctx.ai.batch(
            self.output_type, name="batch" if number == 1 else f"batch-{number}", **self.options
        )
        return made

    def _suspended(self, state: BatchStageState, *, first_check: timedelta) -> Suspended:
        return Suspended(state=state, max_wait=self.max_wait, first_check=first_check)

    @property
    def _storage_key(self) -> str:
        return f"ai-batch/{self.stage_id}.json"


async def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of the user's: a plain `def` in a thread, as everywhere."""
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    return await asyncio.to_thread(function, *arguments)
