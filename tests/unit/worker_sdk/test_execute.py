"""One attempt at a stage: what goes in, what comes out, and what each kind of failure becomes."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field, field_validator

from stageline_sdk import (
    Context,
    NoInput,
    NonRetryableError,
    RetryableError,
    Stage,
    StageCancelledError,
    StillWaiting,
    Suspended,
    stage,
)
from stageline_sdk._execute import StageRunner
from stageline_sdk._job import Cancelled, Completed, Job, NotReady, Outcome, StageFailure, WaitsOutside
from stageline_sdk.cancellation import CancelSource
from tests.unit.worker_sdk.samples import Document, ExtractConfig, Extracted, batch, extract_text
from tests.unit.worker_sdk.sinks import KeepingSink


@pytest.fixture
async def runner() -> AsyncIterator[StageRunner]:
    async with StageRunner() as made:
        yield made


def job(given: bytes = b"null", config: bytes = b"{}", **more: Any) -> Job:
    return Job(
        run_id="r", workflow_name="w", workflow_version=1, stage_id="s", input=given, config=config, **more
    )


def failure(outcome: Outcome) -> StageFailure:
    assert isinstance(outcome, StageFailure)
    return outcome


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


@pytest.mark.parametrize(
    ("given", "config", "kind", "message"),
    [
        (b"{}", b"{}", "INVALID_INPUT", "the input does not fit Document: url: Field required"),
        (
            b'{"url": 3}',
            b"{}",
            "INVALID_INPUT",
            "the input does not fit Document: url: Input should be a valid string",
        ),
        (b"not json", b"{}", "INVALID_INPUT", "Invalid JSON"),
        (b"\xff", b"{}", "INVALID_INPUT", "Invalid JSON"),
        (
            b'{"url": "x"}',
            b'{"max_length": 0}',
            "INVALID_CONFIG",
            "the config does not fit ExtractConfig: max_length",
        ),
        (b'{"url": "x"}', b"[]", "INVALID_CONFIG", "the config does not fit ExtractConfig"),
    ],
)
async def test_values_that_the_types_refuse_are_final(
    runner: StageRunner, given: bytes, config: bytes, kind: str, message: str
) -> None:
    failed = failure(await runner.run(extract_text, job(given, config), KeepingSink()))
    assert failed.kind == kind
    assert failed.retryable is False
    assert message in failed.message


def returns(value: Any, kind: Any) -> Stage[Any, Any, Any]:
    async def function(ctx: Context[NoInput]) -> Any:
        return value

    function.__annotations__["return"] = kind
    return stage("s")(function)


class Changed(BaseModel):
    count: int


changed = Changed(count=1)
changed.count = "many"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ({"text": "t"}, Extracted, "the output does not fit Extracted: word_count: Field required"),
        (None, Extracted, "the output does not fit Extracted: "),
        ("three", int, "the output does not fit int"),
        (changed, Changed, "the output does not fit Changed: "),
        ("a\x00b", str, "the output does not fit str: the value holds the null character U+0000"),
        ({"pages": [{"text": "\x00"}]}, dict[str, Any], r"field pages[0].text holds the null character"),
        ({"k\x00": 1}, dict[str, Any], "the value holds the null character"),
        ("\ud800", str, "the output does not fit str"),
        (object(), Any, "Unable to serialize unknown type"),
    ],
)
async def test_an_output_that_its_type_refuses_is_final(
    runner: StageRunner, value: Any, kind: Any, message: str
) -> None:
    failed = failure(await runner.run(returns(value, kind), job(), KeepingSink()))
    assert failed.kind == "INVALID_OUTPUT"
    assert failed.retryable is False
    assert message in failed.message


async def test_an_escaped_backslash_is_no_null_character(runner: StageRunner) -> None:
    outcome = await runner.run(returns("\\u0000", str), job(), KeepingSink())
    assert outcome == Completed(b'"\\\\u0000"')


def raises(error: BaseException) -> tuple[Stage[Any, None, Any], Stage[Any, None, Any]]:
    @stage("s")
    async def on_loop(ctx: Context[NoInput]) -> None:
        raise error

    @stage("s")
    def in_thread(ctx: Context[NoInput]) -> None:
        raise error

    return on_loop, in_thread


class OwnError(Exception):
    pass


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("executor", [0, 1], ids=["loop", "thread"])
@pytest.mark.parametrize(
    ("error", "kind", "message", "retryable", "retry_after"),
    [
        (ValueError("bad"), "ValueError", "bad", None, None),
        (OwnError("own"), f"{__name__}.OwnError", "own", None, None),
        (KeyError(), "KeyError", "KeyError", None, None),
        (StopIteration(1), "StopIteration", "1", None, None),
        (NonRetryableError("final"), "stageline_sdk.errors.NonRetryableError", "final", False, None),
        (
            RetryableError("later", retry_after=timedelta(seconds=3)),
            "stageline_sdk.errors.RetryableError",
            "later",
            True,
            timedelta(seconds=3),
        ),
        (StageCancelledError("odd"), "stageline_sdk.errors.StageCancelledError", "odd", None, None),
        (SystemExit(2), "stageline_sdk.errors.StageExitError", "the stage called sys.exit(2)", None, None),
        (UnspeakableError(), f"{__name__}.UnspeakableError", f"{__name__}.UnspeakableError", None, None),
        (ValueError("\x00\ud800"), "ValueError", "\ufffd?", None, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_what_a_stage_raises_is_reported(
    runner: StageRunner,
    executor: int,
    error: BaseException,
    kind: str,
    message: str,
    retryable: bool | None,
    retry_after: timedelta | None,
) -> None:
    if executor == 0 and isinstance(error, StopIteration):
        kind, message = "RuntimeError", "coroutine raised StopIteration"
    failed = failure(await runner.run(raises(error)[executor], job(), KeepingSink()))
    assert failed.kind == "APPLICATION"
    assert failed.type == kind
    assert failed.message == message
    assert failed.retryable is retryable
    assert failed.retry_after == retry_after


async def test_a_validation_error_of_the_stages_own_may_be_retried(runner: StageRunner) -> None:
    @stage("s")
    async def asks_a_model(ctx: Context[NoInput]) -> Document:
        return Document.model_validate_json('{"answer": "no url"}')

    failed = failure(await runner.run(asks_a_model, job(), KeepingSink()))
    assert failed.kind == "APPLICATION"
    assert failed.retryable is None
    assert failed.type.endswith("ValidationError")


class Fussy(BaseModel):
    value: int

    @field_validator("value")
    @classmethod
    def never(cls, value: int) -> int:
        raise KeyError("a validator may raise anything")


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_validator_that_raises_is_a_failure_too(runner: StageRunner, is_async: bool) -> None:
    @stage("s")
    async def on_loop(ctx: Context[Fussy]) -> None: ...
    @stage("s")
    def in_thread(ctx: Context[Fussy]) -> None: ...

    failed = failure(
        await runner.run(on_loop if is_async else in_thread, job(b'{"value": 1}'), KeepingSink())
    )
    assert failed.type == "KeyError"


async def test_the_stack_shows_the_stage_and_not_the_sdk(runner: StageRunner) -> None:
    def helper() -> None:
        raise ValueError("deep")

    @stage("s")
    def calls(ctx: Context[NoInput]) -> None:
        helper()

    failed = failure(await runner.run(calls, job(), KeepingSink()))
    assert failed.stack.rstrip().endswith("ValueError: deep")
    assert "in helper" in failed.stack
    assert "stageline_sdk" not in failed.stack


async def test_long_texts_are_cut_and_say_so(runner: StageRunner) -> None:
    @stage("s")
    async def verbose(ctx: Context[NoInput]) -> None:
        raise ValueError("é" * 100_000)

    failed = failure(await runner.run(verbose, job(), KeepingSink()))
    assert len(failed.message.encode()) <= 16 * 1024
    assert failed.message.endswith("… (cut)")
    assert len(failed.stack.encode()) <= 64 * 1024
    assert failed.stack.startswith("… (cut)")


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


async def test_a_stage_suspends_and_is_checked(runner: StageRunner) -> None:
    sink = KeepingSink()
    suspended = await runner.run(batch, job(b'{"url": "slow"}'), sink)
    assert suspended == WaitsOutside(b'{"batch_id":"b-slow"}', timedelta(seconds=5), timedelta(hours=2))
    waiting = await runner.run(batch, job(kind="CHECK", state=suspended.state), sink)
    assert waiting == NotReady(timedelta(seconds=9), b'{"batch_id":"b-quick"}')
    assert waiting.state is not None
    done = await runner.run(batch, job(kind="CHECK", state=waiting.state, config=b'{"max_length": 7}'), sink)
    assert done == Completed(b'{"text":"b-quick","word_count":7}')


async def test_an_async_batch_stage_may_answer_at_once(runner: StageRunner) -> None:
    outcome = await runner.run(batch, job(b'{"url": "small"}'), KeepingSink())
    assert outcome == Completed(b'{"text":"small","word_count":1}')


async def test_a_state_that_the_check_cannot_read_is_final(runner: StageRunner) -> None:
    failed = failure(await runner.run(batch, job(kind="CHECK", state=b"{}"), KeepingSink()))
    assert failed.kind == "INVALID_INPUT"
    assert "batch_id: Field required" in failed.message


async def test_suspension_is_for_async_batch_stages_only(runner: StageRunner) -> None:
    for value, message in [
        (Suspended(state={}), 'is not of mode "async-batch"'),
        (StillWaiting(), "only its check function may"),
    ]:
        failed = failure(await runner.run(returns(value, Any), job(), KeepingSink()))
        assert failed.kind == "INVALID_OUTPUT"
        assert message in failed.message


async def test_a_stage_without_a_check_cannot_be_checked(runner: StageRunner) -> None:
    failed = failure(await runner.run(extract_text, job(kind="CHECK", state=b"{}"), KeepingSink()))
    assert "has no check function" in failed.message
    assert failed.retryable is False


async def test_the_config_of_a_check_is_parsed(runner: StageRunner) -> None:
    failed = failure(
        await runner.run(
            batch, job(kind="CHECK", state=b'{"batch_id": "b"}', config=b'{"max_length": -1}'), KeepingSink()
        )
    )
    assert failed.kind == "INVALID_CONFIG"
    assert ExtractConfig.__name__ in failed.message


async def test_a_closed_runner_takes_nothing() -> None:
    runner = StageRunner()
    runner.close()

    @stage("s")
    def plain(ctx: Context[NoInput]) -> None: ...

    with pytest.raises(RuntimeError, match="are closed"):
        await runner.run(plain, job(), KeepingSink())
