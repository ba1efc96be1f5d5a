"""Streams for threads: read on a loop, in one task from the first piece to the end, as the libraries need it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from stageline_sdk.ai._scope import AiScope
from stageline_sdk.ai.results import TextResult
from stageline_sdk.ai.streams import TextStream

T = TypeVar("T")


class StreamPump:
    """Reads a stream on the loop of the sync calls, for a thread that takes the pieces."""

    def __init__(
        self, open_stream: Callable[[], AbstractAsyncContextManager[TextStream]], scope: AiScope
    ) -> None:
        self._open_stream = open_stream
        self._scope = scope
        self._pieces: asyncio.Queue[str] = asyncio.Queue(1)  # The model may not run far ahead.
        self._is_open = asyncio.Event()
        self._is_unwanted = False
        self._task: asyncio.Task[None] | None = None
        self._stream: TextStream | None = None

    def start(self) -> None:
        """Begin, and wait until the first piece can be waited for.

        Raises:
            AiError: The stream could not be opened.
        """
        self._scope.runtime.portal.run(self._start())

    def stop(self) -> None:
        """End the stream, where it still runs, and wait for its record."""
        self._scope.runtime.portal.run(self._stop())

    def __iter__(self) -> Iterator[str]:
        while (piece := self._scope.runtime.portal.run(self._next())) is not None:
            yield piece

    def result(self) -> TextResult | None:
        """Return what was written, None while it is not known."""
        try:
            return None if self._stream is None else self._stream.result
        except RuntimeError:
            return None

    async def _start(self) -> None:
        self._task = asyncio.create_task(self._scope.abortable(self._read()))
        if not await self._comes_first(self._is_open.wait()):
            self._task.result()

    async def _read(self) -> None:
        async with self._open_stream() as stream:
            self._stream = stream
            self._is_open.set()
            async for piece in stream:
                await self._pieces.put(piece)
                if self._is_unwanted:
                    return

    async def _next(self) -> str | None:
        """Return the next piece; None at the end."""
        assert self._task is not None
        piece = await self._comes_first(self._pieces.get())
        if piece is None and not self._pieces.empty():
            piece = self._pieces.get_nowait()
        if piece is None:
            self._task.result()
        return piece

    async def _stop(self) -> None:
        assert self._task is not None
        self._is_unwanted = True
        while not self._task.done():
            await self._comes_first(self._pieces.get())
        if not self._task.cancelled():
            self._task.exception()  # Raised where the pieces were read, or nobody reads them.

    async def _comes_first(self, wanted: Awaitable[T]) -> T | None:
        """Wait for something, None where the stream ends before."""
        assert self._task is not None
        waiting = asyncio.ensure_future(wanted)
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        waiting.cancel()
        return None
