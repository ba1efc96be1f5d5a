"""Bounds and paces the calls that one stage makes: `ctx.limiter`, by the stage's `ConcurrencyConfig`."""

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import wait
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Generic, Protocol, TypeVar

from stageline_sdk._backoff import Backoff
from stageline_sdk._threads import DaemonThreads
from stageline_sdk.cancellation import CancelSignal
from stageline_sdk.errors import RetryableError
from stageline_sdk.presets import ConcurrencyConfig

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

RETRY_WAIT_FIRST = timedelta(seconds=1)
RETRY_WAIT_MAX = timedelta(seconds=30)
"""Bounds of the wait before a call is made again that named no time itself."""

_HOLDER: contextvars.ContextVar["Limiter | None"] = contextvars.ContextVar("limiter", default=None)
_REPEATS: contextvars.ContextVar[bool] = contextvars.ContextVar("limiter_repeats", default=False)


class Time(Protocol):
    """How time passes: the machine's own, or a test's."""

    def now(self) -> float:
        """Seconds, monotonic."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let the loop work for so long."""
        ...

    def wait(self, stop: threading.Event, seconds: float) -> None:
        """Block this thread for so long, or until `stop` is set."""
        ...


class _MachineTime:
    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def wait(self, stop: threading.Event, seconds: float) -> None:
        stop.wait(seconds)


class Limiter:
    """At most `concurrency` calls at once, starts `delay_ms` apart, each made again up to `max_retries` times.

    A call is made again when it raises RetryableError, after that error's `retry_after`, or else after a random wait that
    grows from one second to thirty. Whatever else it raises ends the whole lot: what has not begun does not begin, an
    `async def` that runs is cancelled, and the error is raised. One limiter serves one attempt of a stage, so the bounds
    hold over all that the attempt calls through it.

    Example:
        In an `async def`: `texts = await ctx.limiter.gather(fetch, ctx.input.urls)`.
        In a `def`: `texts = ctx.limiter.map(fetch, ctx.input.urls)`, in threads.
    """

    def __init__(
        self, config: ConcurrencyConfig, cancelled: CancelSignal, passing: Time | None = None
    ) -> None:
        """Prepare for an attempt.

        Args:
            config: The bounds.
            cancelled: When the work is no longer wanted.
            passing: How time passes; for tests.
        """
        self._config = config
        self._cancelled = cancelled
        self._time: Time = passing or _MachineTime()
        self._pace = _Pace(config.delay_ms / 1000)
        self._slots = asyncio.Semaphore(config.concurrency)
        self._thread_slots = threading.BoundedSemaphore(config.concurrency)

    async def gather(
        self, function: Callable[[ItemT], Awaitable[ResultT]], items: Iterable[ItemT]
    ) -> list[ResultT]:
        """Call an async function with each item, side by side within the bounds, and return the results in order.

        Raises:
            Exception: The first that a call raised for good.
            RuntimeError: It is called from within a call that this limiter makes, and would wait for itself.
        """
        tasks = [asyncio.ensure_future(self.call(partial(function, item))) for item in items]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def call(self, function: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Make one call within the bounds.

        Raises:
            Exception: What it raised for good.
            RuntimeError: It is called from within a call that this limiter makes, and would wait for itself.
        """
        self._refuse_nesting()
        with self._held(repeats=True):
            async with self._slots:
                return await self._call(function)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a place within the bounds for a block that is not made again, as AI calls do.

        Inside of a call that this limiter makes, or of another slot, it is a part of that one, and does not wait.

        Raises:
            StageCancelledError: The work is no longer wanted.
        """
        if _HOLDER.get() is self:
            yield
            return
        async with self._slots:
            await self._time.sleep(self._pace.wait_seconds(self._time.now()))
            self._cancelled.raise_if_set()
            with self._held(repeats=False):
                yield

    @contextmanager
    def thread_slot(self) -> Iterator[None]:
        """Do the same in a thread.

        Raises:
            StageCancelledError: The work is no longer wanted.
        """
        if _HOLDER.get() is self:
            yield
            return
        with self._thread_slots:
            stop = threading.Event()
            unsubscribe = self._cancelled.subscribe(stop.set)
            try:
                self._time.wait(stop, self._pace.wait_seconds(self._time.now()))
            finally:
                unsubscribe()
            self._cancelled.raise_if_set()
            with self._held(repeats=False):
                yield

    @property
    def repeats_this(self) -> bool:
        """Whether what runs here is a call that this limiter makes again when it raises RetryableError."""
        return _HOLDER.get() is self and _REPEATS.get()

    @contextmanager
    def _held(self, *, repeats: bool) -> Iterator[None]:
        holder, repeating = _HOLDER.set(self), _REPEATS.set(repeats)
        try:
            yield
        finally:
            _REPEATS.reset(repeating)
            _HOLDER.reset(holder)

    async def _call(self, function: Callable[[], Awaitable[ResultT]]) -> ResultT:
        waits = Backoff(RETRY_WAIT_FIRST, RETRY_WAIT_MAX)
        for retries_left in reversed(range(self._config.max_retries + 1)):
            await self._time.sleep(self._pace.wait_seconds(self._time.now()))
            self._cancelled.raise_if_set()
            try:
                return await function()
            except RetryableError as error:
                if not retries_left:
                    raise
                await self._time.sleep(_wait_seconds(error, waits))
        raise AssertionError("unreachable")

    def map(self, function: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> list[ResultT]:
        """Call a plain function with each item, in threads within the bounds, and return the results in order.

        It blocks until every call that has begun is over, also after a failure: a thread cannot be stopped.

        Raises:
            Exception: The first that a call raised for good.
            StageCancelledError: The work is no longer wanted.
            RuntimeError: It is called from within a call that this limiter makes, and would wait for itself.
        """
        self._refuse_nesting()
        work: _Work[ItemT, ResultT] = _Work(items)
        unsubscribe = self._cancelled.subscribe(work.stop.set)
        threads = DaemonThreads("stageline-limited")
        run = partial(self._work_off, function, work)
        copies = [contextvars.copy_context() for _ in range(min(self._config.concurrency, work.count))]
        try:
            wait([threads.submit(partial(copy.run, run)) for copy in copies])
        finally:
            threads.close()
            unsubscribe()
        self._cancelled.raise_if_set()
        if work.failure is not None:
            raise work.failure
        return [work.results[number] for number in range(work.count)]

    def _work_off(self, function: Callable[[ItemT], ResultT], work: "_Work[ItemT, ResultT]") -> None:
        _HOLDER.set(self)  # in the thread's own copy of the context
        _REPEATS.set(True)
        while (taken := work.take()) is not None:
            number, item = taken
            try:
                with self._thread_slots:
                    self._call_blocking(number, partial(function, item), work)
            except BaseException as error:  # noqa: BLE001 - raised where the map was called
                work.fail(error)

    def _call_blocking(
        self, number: int, function: Callable[[], ResultT], work: "_Work[ItemT, ResultT]"
    ) -> None:
        """Makes one call, again where it may; none once the work has stopped."""
        waits = Backoff(RETRY_WAIT_FIRST, RETRY_WAIT_MAX)
        for retries_left in reversed(range(self._config.max_retries + 1)):
            self._time.wait(work.stop, self._pace.wait_seconds(self._time.now()))
            if work.stop.is_set():
                return
            try:
                work.results[number] = function()
            except RetryableError as error:
                if not retries_left:
                    raise
                self._time.wait(work.stop, _wait_seconds(error, waits))
            else:
                return

    def _refuse_nesting(self) -> None:
        if _HOLDER.get() is self:
            raise RuntimeError(
                "a call that ctx.limiter makes must not use ctx.limiter: it would wait for itself"
            )


class _Pace:
    """When the next call may start."""

    def __init__(self, delay_seconds: float) -> None:
        self._delay_seconds = delay_seconds
        self._next_start: float | None = None
        self._lock = threading.Lock()

    def wait_seconds(self, now: float) -> float:
        """Take the next start, and return how far off it is."""
        with self._lock:
            start = now if self._next_start is None else max(now, self._next_start)
            self._next_start = start + self._delay_seconds
            return start - now


class _Work(Generic[ItemT, ResultT]):
    """What the threads of one map share."""

    def __init__(self, items: Iterable[ItemT]) -> None:
        given = list(items)
        self.count = len(given)
        self.results: dict[int, ResultT] = {}
        self.failure: BaseException | None = None
        self.stop = threading.Event()
        self._left = iter(enumerate(given))
        self._lock = threading.Lock()

    def take(self) -> tuple[int, ItemT] | None:
        with self._lock:
            return None if self.stop.is_set() else next(self._left, None)

    def fail(self, error: BaseException) -> None:
        with self._lock:
            self.failure = self.failure or error
            self.stop.set()


def _wait_seconds(error: RetryableError, waits: Backoff) -> float:
    return waits.next_seconds() if error.retry_after is None else error.retry_after.total_seconds()
