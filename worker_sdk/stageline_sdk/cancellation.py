"""How a running stage learns that its work is no longer wanted. Works across threads and event loops."""

import asyncio
import threading
from collections.abc import Callable, Generator
from datetime import timedelta

from stageline_sdk.errors import StageCancelledError


class CancelSignal:
    """Set once, when the run is cancelled or timed out or another worker has the job; `ctx.cancelled` in a stage.

    Example:
        In an `async def`: `await ctx.cancelled`, which returns when it is set.
        In a `def`: `if ctx.cancelled.wait(timedelta(seconds=1)): return ...`, a pause that ends early.
    """

    __slots__ = ("_callbacks", "_event", "_is_set", "_lock", "_reason")

    def __init__(self) -> None:
        self._is_set = False
        self._event: threading.Event | None = (
            None  # made for the first thread that waits: most jobs have none
        )
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []
        self._reason = ""

    @property
    def reason(self) -> str:
        """Why the work is no longer wanted; empty until it is set, and when nobody said."""
        return self._reason

    def is_set(self) -> bool:
        """Whether the work is no longer wanted."""
        return self._is_set

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Block this thread until it is set, and return whether it is. Not for `async def`: it would block the loop.

        Args:
            timeout: How long to wait at most. None, the default, waits without limit.
        """
        with self._lock:
            if self._is_set:
                return True
            self._event = event = self._event or threading.Event()
        return event.wait(None if timeout is None else timeout.total_seconds())

    def raise_if_set(self) -> None:
        """Raise if the work is no longer wanted.

        Raises:
            StageCancelledError: It is set.
        """
        if self.is_set():
            because = f": {self._reason}" if self._reason else ""
            raise StageCancelledError(f"this stage's work is no longer wanted{because}", reason=self._reason)

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` once when it is set, in the thread that sets it; at once if it is set already.

        Returns:
            A function that ends the subscription.
        """
        with self._lock:
            if not self._is_set:
                self._callbacks.append(callback)
                return lambda: self._unsubscribe(callback)
        callback()
        return lambda: None

    def __await__(self) -> Generator[object, None, None]:
        return self._wait_on_loop().__await__()

    async def _wait_on_loop(self) -> None:
        loop = asyncio.get_running_loop()
        is_set = asyncio.Event()
        unsubscribe = self.subscribe(lambda: loop.call_soon_threadsafe(is_set.set))
        try:
            await is_set.wait()
        finally:
            unsubscribe()

    def _unsubscribe(self, callback: Callable[[], object]) -> None:
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)


class CancelSource(CancelSignal):
    """The side that sets the signal: the worker's runtime, or a test."""

    __slots__ = ()

    def cancel(self, reason: str = "") -> None:
        """Set the signal; only the first call has an effect. May be called from any thread."""
        with self._lock:
            if self._is_set:
                return
            self._reason = reason
            self._is_set = True
            callbacks, self._callbacks = self._callbacks, []
            if self._event is not None:
                self._event.set()
        for callback in callbacks:
            callback()
