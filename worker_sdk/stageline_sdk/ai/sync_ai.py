"""`ctx.ai.sync`: calls of models for plain `def` stages, which run in threads."""

import asyncio
import inspect
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from typing_extensions import Unpack

from stageline_sdk.ai._pump import StreamPump
from stageline_sdk.ai._scope import AiScope
from stageline_sdk.ai.batches.options import BatchOptions
from stageline_sdk.ai.batches.sync_batch import SyncAiBatch
from stageline_sdk.ai.options import CallOptions, EmbedOptions, Prompt
from stageline_sdk.ai.results import EmbedResult, ObjectResult, TextResult
from stageline_sdk.ai.streams import SyncTextStream

if TYPE_CHECKING:
    from stageline_sdk.ai.stage_ai import StageAi

T = TypeVar("T")


class SyncStageAi:
    """The methods of `ctx.ai` that call models, for code without a loop: each waits for its answer. From any thread."""

    __slots__ = ("_ai", "_scope")

    def __init__(self, ai: "StageAi", scope: AiScope) -> None:
        self._ai = ai
        self._scope = scope

    def generate_text(self, prompt: Prompt, **options: Unpack[CallOptions]) -> TextResult:
        """See `StageAi.generate_text`."""
        return self._run(self._ai.generate_text(prompt, **options))

    def generate_object(
        self, prompt: Prompt, output_type: type[T], **options: Unpack[CallOptions]
    ) -> ObjectResult[T]:
        """See `StageAi.generate_object`."""
        return self._run(self._ai.generate_object(prompt, output_type, **options))

    @contextmanager
    def stream_text(self, prompt: Prompt, **options: Unpack[CallOptions]) -> Iterator[SyncTextStream]:
        """See `StageAi.stream_text`: `with ctx.ai.sync.stream_text(...) as stream: for piece in stream: ...`."""
        refuse_loop()
        with self._scope.bounded_thread():
            pump = StreamPump(partial(self._ai.stream_text, prompt, **options), self._scope)
            pump.start()
            try:
                yield SyncTextStream(pump)
            finally:
                pump.stop()

    def embed(self, texts: str | Sequence[str], **options: Unpack[EmbedOptions]) -> EmbedResult:
        """See `StageAi.embed`."""
        return self._run(self._ai.embed(texts, **options))

    @overload
    def batch(self, *, name: str = ..., **options: Unpack[BatchOptions]) -> SyncAiBatch[str]: ...
    @overload
    def batch(
        self, output_type: type[T], *, name: str = ..., **options: Unpack[BatchOptions]
    ) -> SyncAiBatch[T]: ...
    def batch(
        self, output_type: type[Any] = str, *, name: str = "batch", **options: Unpack[BatchOptions]
    ) -> SyncAiBatch[Any]:
        """See `StageAi.batch`."""
        return SyncAiBatch(self._ai.batch(output_type, name=name, **options), self._run)

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a call on the loop that all sync calls of the worker share.

        Raises:
            RuntimeError: There is a loop here, which would be held up.
        """
        try:
            refuse_loop()
            with self._scope.bounded_thread():
                return self._scope.runtime.portal.run(call)
        finally:
            if inspect.getcoroutinestate(call) == inspect.CORO_CREATED:  # Refused before it began.
                call.close()


def refuse_loop() -> None:
    """Refuse to wait on a thread that has a loop.

    Raises:
        RuntimeError: It has one.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("ctx.ai.sync is for plain `def` stages: in an `async def` await ctx.ai instead")
