"""Batches form by themselves, and every command is answered, whatever happens to its batch."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from stageline_engine.errors import StorageUnavailableError
from stageline_server.dispatch.batcher import Batcher, StoppedError

Done = Callable[[int | BaseException], None]


class Doubler:
    """Commits numbers by doubling them; each commit waits for the gate.

    Attributes:
        batches: What was to be committed, in order.
        begun: One entry for each batch, for whoever waits for it.
        gate: Commits wait while it is closed.
        close_at: Closes the gate before the batch of this number, from 1.
        bad: Numbers that no batch may hold.
        error: What a batch with one of them fails with.
    """

    def __init__(self, *bad: int, error: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun: asyncio.Queue[None] = asyncio.Queue()
        self.close_at = 0
        self.bad = set(bad)
        self.error = error or ValueError("bad number")

    async def __call__(self, batch: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(batch))
        self.begun.put_nowait(None)
        if len(self.batches) == self.close_at:
            self.gate.clear()
        await self.gate.wait()
        if self.bad & set(batch):
            raise self.error
        return [2 * number for number in batch]


@asynccontextmanager
async def batcher(commit: Doubler, batch_max: int = 100) -> AsyncIterator[Batcher[int, int]]:
    made: Batcher[int, int] = Batcher(commit, batch_max=batch_max, name="test")
    made.start()
    try:
        yield made
    finally:
        await made.stop()


async def test_idle_a_command_goes_alone_and_at_once() -> None:
    commit = Doubler()
    async with batcher(commit) as made:
        assert [await made.call(number) for number in (1, 2)] == [2, 4]
    assert commit.batches == [[1], [2]]


async def test_while_one_batch_is_in_flight_the_next_gathers_in_order() -> None:
    commit = Doubler()
    commit.gate.clear()
    async with batcher(commit, batch_max=3) as made:
        first = asyncio.create_task(made.call(0))
        await commit.begun.get()
        others = [asyncio.create_task(made.call(number)) for number in range(1, 6)]
        await asyncio.sleep(0)
        commit.gate.set()
        assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8, 10]
    assert commit.batches == [[0], [1, 2, 3], [4, 5]]


async def test_a_bad_command_hurts_no_other_and_order_is_kept() -> None:
    commit = Doubler(3, 6)
    answers: list[tuple[int, object]] = []
    async with batcher(commit) as made:
        for number in range(9):
            made.submit(number, lambda result, number=number: answers.append((number, result)))  # type: ignore[misc]
        await made.flushed()
    assert [number for number, _ in answers] == list(range(9))
    assert [result for _, result in answers] == [
        commit.error if number in (3, 6) else 2 * number for number in range(9)
    ]


async def test_an_outage_fails_the_batch_as_a_whole() -> None:
    """Its fate is unknown: the halves must not be committed a second time by themselves."""
    commit = Doubler(1, error=StorageUnavailableError("away"))
    async with batcher(commit) as made:
        answers = await asyncio.gather(*(made.call(number) for number in range(4)), return_exceptions=True)
    assert answers == [commit.error] * 4
    assert commit.batches == [[0, 1, 2, 3]]


async def test_a_callback_that_fails_hurts_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def fail(result: int | BaseException) -> None:
        raise RuntimeError(f"cannot take {result}")

    async with batcher(Doubler()) as made:
        made.submit(1, fail)
        assert await made.call(2) == 4
        assert await made.call(3) == 6
    assert "a callback failed" in caplog.text


async def test_a_caller_that_gave_up_is_passed_over() -> None:
    commit = Doubler()
    commit.gate.clear()
    async with batcher(commit) as made:
        gone = asyncio.create_task(made.call(1))
        await commit.begun.get()
        gone.cancel()
        waiting = asyncio.create_task(made.call(2))
        commit.gate.set()
        assert await waiting == 4


async def test_a_stop_answers_what_is_in_flight_in_parts_and_waiting() -> None:
    commit = Doubler(0)
    commit.close_at = 3
    async with batcher(commit, batch_max=4) as made:
        calls = [asyncio.create_task(made.call(number)) for number in range(6)]
        for _ in range(3):
            await commit.begun.get()
        assert commit.batches == [[0, 1, 2, 3], [0, 1], [0]]
        await made.stop()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoppedError] * 6
        with pytest.raises(StoppedError):
            await made.call(7)
        await made.flushed()


async def test_flushed_waits_for_what_is_in_flight() -> None:
    commit = Doubler()
    commit.gate.clear()
    async with batcher(commit) as made:
        await made.flushed()
        call = asyncio.create_task(made.call(1))
        await asyncio.sleep(0)
        flushed = asyncio.create_task(made.flushed())
        await commit.begun.get()
        assert not flushed.done()
        commit.gate.set()
        await flushed
        assert await call == 2
