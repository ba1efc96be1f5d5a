"""A private event loop in a thread of its own, for code that has none or must not be held up by its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines in a loop in a thread, which is started with the first one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread was started, and not closed since."""
        return self._loop is not None

    def run(self, awaitable: Awaitable[T]) -> T:
        """Run a coroutine and return its result; when this wait is interrupted (Ctrl-C), the coroutine is cancelled."""
        future = asyncio.run_coroutine_threadsafe(_await(awaitable), self._start())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def call(self, awaitable: Awaitable[T]) -> T:
        """Run a coroutine and wait for its result on the caller's own loop; cancelling the wait cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_await(awaitable), self._start()))

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Yield what an asynchronous iterator yields. It is closed with the returned one."""
        try:
            while True:
                try:
                    item = self.run(anext(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            close = getattr(items, "aclose", None)
            if close is not None and self._loop is not None:
                self.run(close())

    def close(self, last: Callable[[], Awaitable[None]]) -> None:
        """Run a last coroutine and end the thread. Does nothing if the thread does not run."""
        if self._loop is None or self._thread is None:
            return
        with suppress(asyncio.CancelledError):
            self.run(last())
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name=self._name, daemon=True
                )
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable
