"""Bounds, pace and repeats of the calls that one stage makes."""

import asyncio
import threading
from datetime import timedelta

import pytest

from stageline_sdk import RetryableError, StageCancelledError
from stageline_sdk.cancellation import CancelSource
from stageline_sdk.limiter import Limiter
from stageline_sdk.presets import ConcurrencyConfig


class VirtualTime:
    """Passes when somebody sleeps, and at once. Keeps what was slept."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self._pass(seconds)

    def wait(self, stop: threading.Event, seconds: float) -> None:
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        if seconds:
            self.slept.append(round(seconds, 6))
            self.seconds += seconds


class Crowd:
    """Calls that go on until `expected` of them are in at once; keeps how many there ever were."""

    def __init__(self, expected: int) -> None:
        self.most = self._inside = 0
        self._expected = expected
        self._full = asyncio.Event()

    async def enter(self, item: int) -> int:
        self._inside += 1
        self.most = max(self.most, self._inside)
        if self._inside == self._expected:
            self._full.set()
        await self._full.wait()
        self._inside -= 1
        return item * 10


class Flaky:
    """Fails a number of times, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self, item: str) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return item

    async def later(self, item: str) -> str:
        return self(item)


def limiter(
    concurrency: int = 3,
    delay_ms: int = 0,
    max_retries: int = 2,
    passing: VirtualTime | None = None,
    cancel: CancelSource | None = None,
) -> Limiter:
    config = ConcurrencyConfig(concurrency=concurrency, delay_ms=delay_ms, max_retries=max_retries)
    return Limiter(config, cancel or CancelSource(), passing or VirtualTime())


async def test_no_more_calls_at_once_than_allowed_and_results_in_order() -> None:
    crowd = Crowd(expected=3)
    assert await limiter(3).gather(crowd.enter, range(7)) == [0, 10, 20, 30, 40, 50, 60]
    assert crowd.most == 3


async def test_the_bound_holds_over_all_calls_of_the_attempt() -> None:
    crowd, shared = Crowd(expected=2), limiter(2)
    await asyncio.gather(shared.gather(crowd.enter, range(3)), shared.gather(crowd.enter, range(3)))
    assert crowd.most == 2


def test_no_more_threads_at_once_than_allowed_and_results_in_order() -> None:
    lock, full = threading.Lock(), threading.Barrier(3)
    inside, most = 0, 0

    def enter(item: int) -> int:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        full.wait(timeout=20)
        with lock:
            inside -= 1
        return item * 10

    assert limiter(3).map(enter, range(6)) == [0, 10, 20, 30, 40, 50]
    assert most == 3


async def test_starts_are_apart_by_the_delay() -> None:
    passing = VirtualTime()
    await limiter(1, delay_ms=250, passing=passing).gather(Flaky().later, "abc")
    assert passing.slept == [0.25, 0.25]
    passing = VirtualTime()
    assert limiter(1, delay_ms=250, passing=passing).map(Flaky(), "abc") == ["a", "b", "c"]
    assert passing.slept == [0.25, 0.25]


async def test_a_call_is_made_again_after_the_wait_that_it_asks_for() -> None:
    again = RetryableError("busy", retry_after=timedelta(seconds=7))
    passing, flaky = VirtualTime(), Flaky(again, again)
    assert await limiter(passing=passing).gather(flaky.later, ["a"]) == ["a"]
    assert (flaky.calls, passing.slept) == (3, [7, 7])
    passing, flaky = VirtualTime(), Flaky(again)
    assert limiter(passing=passing).map(flaky, ["a"]) == ["a"]
    assert (flaky.calls, passing.slept) == (2, [7])


async def test_waits_that_nobody_asked_for_are_random_and_bounded() -> None:
    passing = VirtualTime()
    again = [RetryableError("busy")] * 8
    await limiter(max_retries=8, passing=passing).gather(Flaky(*again).later, ["a"])
    assert len(passing.slept) == 8
    assert all(slept <= 30 for slept in passing.slept)


@pytest.mark.parametrize(
    ("error", "calls"), [(RetryableError("busy", retry_after=timedelta(0)), 3), (ValueError("no"), 1)]
)
async def test_the_last_failure_and_other_errors_are_raised(error: Exception, calls: int) -> None:
    flaky = Flaky(*[error] * 5)
    with pytest.raises(type(error)):
        await limiter(1).gather(flaky.later, ["a"])
    assert flaky.calls == calls
    flaky = Flaky(*[error] * 5)
    with pytest.raises(type(error)):
        limiter(1).map(flaky, ["a", "b"])
    assert flaky.calls == calls  # the second item was not begun


async def test_a_failure_cancels_what_runs() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def work(item: str) -> None:
        if item == "fails":
            await started.wait()
            raise ValueError("no")
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(ValueError, match="no"):
        await limiter(2).gather(work, ["runs", "fails"])
    assert ended.is_set()


async def test_nothing_begins_once_the_work_is_not_wanted() -> None:
    cancel, flaky = CancelSource(), Flaky()
    cancel.cancel("the run was cancelled")
    with pytest.raises(StageCancelledError, match="the run was cancelled"):
        await limiter(cancel=cancel).gather(flaky.later, "abc")
    with pytest.raises(StageCancelledError, match="the run was cancelled"):
        limiter(cancel=cancel).map(flaky, "abc")
    assert flaky.calls == 0


async def test_a_call_that_would_wait_for_itself_is_refused() -> None:
    shared = limiter(1)

    async def nested(item: str) -> list[str]:
        return await shared.gather(Flaky().later, [item])

    def nested_map(item: str) -> list[str]:
        return shared.map(Flaky(), [item])

    with pytest.raises(RuntimeError, match="wait for itself"):
        await shared.gather(nested, ["a"])
    with pytest.raises(RuntimeError, match="wait for itself"):
        shared.map(nested_map, ["a"])
    assert await shared.gather(Flaky().later, ["a"]) == ["a"]  # afterwards it is as good as new


async def test_nothing_to_do_is_done() -> None:
    assert await limiter().gather(Flaky().later, []) == []
    assert limiter().map(Flaky(), []) == []
