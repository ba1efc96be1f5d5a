"""What the AI calls of one attempt of a stage share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from stageline_sdk.ai._runtime import AiRuntime
from stageline_sdk.ai.models import AiModel
from stageline_sdk.ai.options import RETRIES_MAX_DEFAULT
from stageline_sdk.cancellation import CancelSignal
from stageline_sdk.limiter import Limiter
from stageline_sdk.presets import AICallDefaults

if TYPE_CHECKING:
    from stageline_sdk.ai.batches.host import StageSubmissions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AiScope:
    """What the AI calls of one attempt share.

    Attributes:
        runtime: Models and their clients.
        cancelled: Set when the work is no longer wanted: ends calls that are under way.
        defaults: What the stage's config says of its calls.
        limiter: Bounds and paces them; None where the config says nothing of it.
        is_dry_run: Whether no model is to be called at all.
        stage: Submits batches once; None outside of a stage.
    """

    runtime: AiRuntime = field(default_factory=AiRuntime)
    cancelled: CancelSignal = field(default_factory=CancelSignal)
    defaults: AICallDefaults = field(default_factory=AICallDefaults)
    limiter: Callable[[], Limiter] | None = None
    is_dry_run: bool = False
    stage: "StageSubmissions | None" = None

    def model(self, key: str | None) -> AiModel:
        """Return the model that a call names, else that of the stage's config, else the registry's default.

        Raises:
            UnknownModelError: The registry does not have it.
        """
        return self.runtime.registry.get(key or self.defaults.model or self.runtime.registry.default)

    def retries_max(self, given: int | None) -> int:
        """Return how often a request of a call may be sent again."""
        if given is not None:
            return given
        if self.limiter is not None and self.limiter().repeats_this:
            return 0  # The limiter makes the call again: retries of both would multiply.
        return RETRIES_MAX_DEFAULT if self.defaults.max_retries is None else self.defaults.max_retries

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Wait for the moment at which the config's bounds allow one more call, and hold its place.

        Raises:
            StageCancelledError: The work is no longer wanted.
        """
        self.cancelled.raise_if_set()
        if self.limiter is None:
            yield
            return
        async with self.limiter().slot():
            yield

    @contextmanager
    def bounded_thread(self) -> Iterator[None]:
        """Do the same in a thread, for the call that this thread waits for."""
        self.cancelled.raise_if_set()
        if self.limiter is None:
            yield
            return
        with self.limiter().thread_slot():
            yield

    async def abortable(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a call, and end it when the work is no longer wanted, on whatever loop it runs.

        Raises:
            StageCancelledError: The work is no longer wanted.
        """
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(call)
        unsubscribe = self.cancelled.subscribe(lambda: loop.call_soon_threadsafe(_cancel_once, task))
        try:
            return await task
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if own is not None and not own.cancelling():  # The worker cancels its own loop's stages itself.
                self.cancelled.raise_if_set()
            raise
        finally:
            unsubscribe()


def _cancel_once(task: "asyncio.Task[Any]") -> None:
    """Cancel, unless that was done: a second time would interrupt the tidying up."""
    if not task.cancelling():
        task.cancel()
