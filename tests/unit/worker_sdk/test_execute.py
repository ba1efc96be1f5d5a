"""One attempt at a stage: where it runs, what comes out, and how it is stopped."""

import asyncio
import threading

import pytest
from pydantic import BaseModel, Field

from stageline_sdk import (
    Context,
    NoInput,
    stage,
)
from stageline_sdk._execute import StageRunner
from stageline_sdk._job import Cancelled, Completed
from stageline_sdk.cancellation import CancelSource
from tests.unit.worker_sdk.jobs import failure, job, raises
from tests.unit.worker_sdk.samples import Document, Extracted, extract_text
from tests.unit.worker_sdk.sinks import KeepingSink


async def test_an_async_stage_completes(runner: StageRunner) -> None:
    sink = KeepingSink()
    outcome = await runner.run(extract_text, job(b'{"url": "a b c"}', b'{"max_length": 3}'), sink)
    assert outcome == Completed(b'{"text":"a b","word_count":2}')
    assert sink.logs[0].fields == {"characters": 3}
    assert sink.updates[0].fraction == 0.5


async def test_a_plain_stage_runs_in_a_thread(runner: StageRunner) -> None:
    @stage("s")
    def where(ctx: Context[Document]) -> str:
        return threading.current_thread().name

    outcome = await runner.run(where, job(b'{"url": "x"}'), KeepingSink())
    assert isinstance(outcome, Completed)
    assert outcome.output.startswith(b'"stageline-stage-')


async def test_threads_are_used_again_and_grow_with_the_work(runner: StageRunner) -> None:
    barrier = threading.Barrier(3, timeout=20)

    @stage("s")
    def meets(ctx: Context[NoInput]) -> int:
        barrier.wait()
        return threading.get_ident()

    @stage("t")
    def ident(ctx: Context[NoInput]) -> int:
        return threading.get_ident()

    together = await asyncio.gather(*(runner.run(meets, job(), KeepingSink()) for _ in range(3)))
    assert len(set(together)) == 3
    assert await runner.run(ident, job(), KeepingSink()) in together


@pytest.mark.parametrize("given", [b"null", b"[1]", b'"text"', b'{"a": 1}', b"0"])
async def test_no_input_accepts_anything(runner: StageRunner, given: bytes) -> None:
    @stage("s")
    async def reads_nothing(ctx: Context[NoInput]) -> NoInput:
        return ctx.input

    assert await runner.run(reads_nothing, job(given), KeepingSink()) == Completed(b"{}")


class Aliased(BaseModel):
    word_count: int = Field(serialization_alias="wordCount")


async def test_outputs_are_written_as_their_schema_says(runner: StageRunner) -> None:
    @stage("s")
    async def aliased(ctx: Context[NoInput]) -> Aliased:
        return Aliased(word_count=1)

    @stage("s")
    async def coerced(ctx: Context[NoInput]) -> Extracted:
        return {"text": "t", "word_count": 1}  # type: ignore[return-value]

    assert await runner.run(aliased, job(), KeepingSink()) == Completed(b'{"wordCount":1}')
    assert await runner.run(coerced, job(), KeepingSink()) == Completed(b'{"text":"t","word_count":1}')


@pytest.mark.parametrize("executor", [0, 1], ids=["loop", "thread"])
def test_a_keyboard_interrupt_passes(executor: int) -> None:
    async def attempt() -> None:
        async with StageRunner() as runner:
            await runner.run(raises(KeyboardInterrupt())[executor], job(), KeepingSink())

    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(attempt())
    finally:
        loop.close()


async def test_an_async_stage_is_cancelled_at_its_next_await(runner: StageRunner) -> None:
    cancel = CancelSource()
    began = asyncio.Event()
    tidied: list[bool] = []

    @stage("s")
    async def waits(ctx: Context[NoInput]) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            tidied.append(ctx.cancelled.is_set())

    running = asyncio.create_task(runner.run(waits, job(), KeepingSink(), cancel))
    await began.wait()
    await asyncio.to_thread(cancel.cancel, "the run was cancelled")
    assert await running == Cancelled("the run was cancelled")
    assert tidied == [True]


async def test_a_thread_stage_finds_out_that_it_is_cancelled(runner: StageRunner) -> None:
    cancel = CancelSource()
    sink = KeepingSink()

    @stage("s")
    def waits(ctx: Context[NoInput]) -> None:
        ctx.log.info("began")
        ctx.cancelled.wait()
        ctx.raise_if_cancelled()

    running = asyncio.create_task(runner.run(waits, job(), sink, cancel))
    await asyncio.to_thread(sink.logged.wait, 20)
    cancel.cancel("timed out")
    assert await running == Cancelled("timed out")


async def test_a_stage_that_cancels_itself_has_failed(runner: StageRunner) -> None:
    @stage("s")
    async def cancels_itself(ctx: Context[NoInput]) -> None:
        raise asyncio.CancelledError

    failed = failure(await runner.run(cancels_itself, job(), KeepingSink()))
    assert failed.type == "asyncio.exceptions.CancelledError"


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_worker_that_stops_stops_its_stages(runner: StageRunner, is_async: bool) -> None:
    sink = KeepingSink()
    stopped = threading.Event()

    @stage("s")
    async def on_loop(ctx: Context[NoInput]) -> None:
        ctx.log.info("began")
        try:
            await ctx.cancelled
        finally:
            stopped.set()

    @stage("s")
    def in_thread(ctx: Context[NoInput]) -> None:
        ctx.log.info("began")
        ctx.cancelled.wait()
        stopped.set()

    running = asyncio.create_task(runner.run(on_loop if is_async else in_thread, job(), sink))
    await asyncio.to_thread(sink.logged.wait, 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await asyncio.to_thread(stopped.wait, 20)


async def test_declared_dependencies_are_fetched_before_the_stage_starts(runner: StageRunner) -> None:
    @stage("s", dependencies=["a", "b", "sent"])
    async def needs(ctx: Context[NoInput]) -> list[int]:
        assert sink.fetched == ["a", "b"]
        return [ctx.require("a"), ctx.require("b"), ctx.require("sent")]

    sink = KeepingSink(stored={"a": b"1", "b": b"2"})
    stored = frozenset({"a", "b", "sent", "unneeded"})
    outcome = await runner.run(needs, job(outputs={"sent": b"3"}, stored_outputs=stored), sink)
    assert outcome == Completed(b"[1,2,3]")
    assert sink.fetched == ["a", "b"]


async def test_a_dependency_that_cannot_be_fetched_fails_the_attempt(runner: StageRunner) -> None:
    @stage("s", dependencies=["gone"])
    async def needs(ctx: Context[NoInput]) -> None: ...

    failed = failure(await runner.run(needs, job(stored_outputs=frozenset({"gone"})), KeepingSink()))
    assert failed.type == "stageline_sdk.errors.ApiError"
    assert failed.retryable is False


async def test_a_closed_runner_takes_nothing() -> None:
    runner = StageRunner()
    runner.close()

    @stage("s")
    def plain(ctx: Context[NoInput]) -> None: ...

    with pytest.raises(RuntimeError, match="are closed"):
        await runner.run(plain, job(), KeepingSink())
