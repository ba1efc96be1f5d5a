"""Calls foreign code outside of the caller's event loop, for a limited time.

What hangs is left behind in a daemon thread: it delays neither its caller nor the end of the process. Only a few may be
left behind at a time, so that a plugin that always hangs does not fill the process with threads.
"""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Coroutine
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

from stageline_engine.plugins.definition import Handler, PluginEvent

LEFT_BEHIND_MAX = 8
"""Threads of one plugin that hang; beyond it the plugin is not called until one of them ends."""

ANSWER_SECONDS = 1.0
"""How long a loop may take to notice a cancellation before it is taken for blocked."""


class PluginStuckError(Exception):
    """Too many earlier calls of the plugin still hang."""


class Isolation:
    """Calls one handler; from any number of tasks of one event loop."""

    def __init__(self, name: str, handler: Handler, timeout: timedelta) -> None:
        """Takes the handler, a name for its threads, and how long one call may take."""
        self._name = name
        self._handler: Any = handler
        self._is_coroutine = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004 - not whether it can be called, but how
        )
        self._timeout_seconds = timeout.total_seconds()
        self._left_behind: list[threading.Thread] = []
        self._loop: _LoopThread | None = None

    async def call(self, event: PluginEvent) -> None:
        """Calls the handler and returns when it has.

        Raises:
            TimeoutError: It took too long.
            PluginStuckError: It was not called.
            Exception: What the handler raises.
        """
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        if len(self._left_behind) >= LEFT_BEHIND_MAX:
            raise PluginStuckError(f"{len(self._left_behind)} earlier calls of {self._name} still hang")
        if self._is_coroutine:
            await self._call_on_loop(event)
        else:
            await self._call_in_thread(event)

    async def _call_in_thread(self, event: PluginEvent) -> None:
        future: Future[None] = Future()
        thread = threading.Thread(
            target=_run, args=(future, self._handler, event), name=f"plugin {self._name}", daemon=True
        )
        thread.start()
        try:
            await self._wait(future)
        except TimeoutError:
            self._left_behind.append(thread)
            raise

    async def _call_on_loop(self, event: PluginEvent) -> None:
        if self._loop is None:
            self._loop = _LoopThread(self._name)
        loop = self._loop
        try:
            await self._wait(loop.submit(self._handler(event)))
        except TimeoutError:
            if not await loop.answers() and self._loop is loop:
                self._left_behind.append(loop.thread)
                loop.stop()
                self._loop = None
            raise

    async def _wait(self, future: "Future[None]") -> None:
        try:
            await asyncio.wait_for(asyncio.wrap_future(future), self._timeout_seconds)
        except TimeoutError:
            if future.done() and not future.cancelled():
                raise  # the handler's own
            raise TimeoutError(f"no answer within {self._timeout_seconds:g} s") from None


def _run(future: "Future[None]", handler: Handler, event: PluginEvent) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        answer = handler(event)
        if answer is not None:  # a plain function that made a coroutine
            asyncio.run(_awaited(answer))
    except BaseException as error:  # noqa: BLE001 - whatever it is belongs to whoever called
        future.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
    else:
        future.set_result(None)


async def _awaited(answer: Awaitable[None]) -> None:
    await answer


class _LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._live, name=f"plugin {name}", daemon=True)
        self.thread.start()

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def submit(self, call: Coroutine[Any, Any, None]) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    async def answers(self) -> bool:
        """Whether the loop is free to do anything."""
        answered: Future[None] = Future()
        self._loop.call_soon_threadsafe(answered.set_result, None)
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(answered)), ANSWER_SECONDS)
        except TimeoutError:
            return False
        return True

    def stop(self) -> None:
        """Ends the thread as soon as the loop is free again."""
        self._loop.call_soon_threadsafe(self._loop.stop)
