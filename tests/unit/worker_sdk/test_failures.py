"""What each kind of failure of an attempt becomes."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from stageline_sdk import (
    Context,
    NoInput,
    NonRetryableError,
    RetryableError,
    StageCancelledError,
    stage,
)
from stageline_sdk._execute import StageRunner
from stageline_sdk._job import Completed
from tests.unit.worker_sdk.jobs import failure, job, raises, returns
from tests.unit.worker_sdk.samples import Document, Extracted, extract_text
from tests.unit.worker_sdk.sinks import KeepingSink


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
