"""The environment that users test their stages in."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from stageline_sdk import (
    ConfigError,
    Context,
    MissingOutputError,
    NoInput,
    StageCancelledError,
    StageError,
    StillWaiting,
    Workflow,
    stage,
)
from stageline_sdk.testing import (
    Completed,
    LogRecord,
    ProgressUpdate,
    StageEnvironment,
    StageFailedError,
    WaitsOutside,
)
from tests.unit.worker_sdk.samples import (
    BatchState,
    Document,
    ExtractConfig,
    Extracted,
    aggregate,
    batch,
    document_processor,
    extract_text,
    in_process,
    keywords,
    sentiment,
)


async def test_a_stage_runs_and_what_it_says_is_kept() -> None:
    env = StageEnvironment()
    output = await env.run(extract_text, Document(url="a b"), config=ExtractConfig(max_length=1))
    assert output == Extracted(text="a", word_count=1)
    assert env.logs == [LogRecord("INFO", "fetched", {"characters": 1})]
    assert env.progress == [ProgressUpdate(0.5, "half way", {"pages": 3})]


def test_a_stage_runs_without_a_loop() -> None:
    assert StageEnvironment().run_sync(keywords, Extracted(text="a b", word_count=2)) == ["a", "b"]


async def test_a_stage_runs_in_its_process() -> None:
    env = StageEnvironment()
    assert (await env.run(in_process, Document(url="x")))["url"] == "x"
    assert env.annotations[0].key == "decision.outcome"


async def test_outputs_of_earlier_stages_are_given_by_stage_or_id() -> None:
    env = StageEnvironment(outputs={extract_text: Extracted(text="", word_count=2), "sentiment": 0.25})
    assert await env.run(aggregate) == {"words": 2, "sentiment": 0.25}
    with pytest.raises(MissingOutputError, match="'extract-text'"):
        await StageEnvironment().run(aggregate)
    with pytest.raises(ValidationError):
        StageEnvironment(outputs={extract_text: 3})


async def test_identity_can_be_set() -> None:
    deadline = datetime(2026, 1, 1, tzinfo=UTC)

    @stage("who")
    async def who(ctx: Context[NoInput]) -> list[Any]:
        return [ctx.run_id, ctx.attempt, ctx.delivery, ctx.generation, ctx.deadline, ctx.stage_id]

    env = StageEnvironment(run_id="r", attempt=2, delivery=3, generation=4, deadline=deadline)
    assert await env.run(who) == ["r", 2, 3, 4, "2026-01-01T00:00:00Z", "who"]


async def test_the_stages_own_error_is_raised() -> None:
    @stage("fails")
    async def fails(ctx: Context[NoInput]) -> None:
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        await StageEnvironment().run(fails)


async def test_a_refused_output_is_told() -> None:
    @stage("wrong")
    async def wrong(ctx: Context[NoInput]) -> int:
        return "three"  # type: ignore[return-value]

    with pytest.raises(StageFailedError, match="INVALID_OUTPUT: the output does not fit int") as raised:
        await StageEnvironment().run(wrong)
    assert raised.value.failure.retryable is False


async def test_a_refused_input_is_told() -> None:
    class Stricter(BaseModel):
        text: str
        language: str

    @stage("strict")
    async def strict(ctx: Context[Stricter]) -> None: ...

    broken = Stricter.model_construct(text="t")
    with pytest.raises(
        StageFailedError, match=r"INVALID_INPUT: the input does not fit .*Stricter: language: Field required"
    ):
        await StageEnvironment().run(strict, broken)


async def test_a_stage_can_be_cancelled() -> None:
    env = StageEnvironment()
    began = asyncio.Event()

    @stage("waits")
    async def waits(ctx: Context[NoInput]) -> None:
        began.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(env.run(waits))
    await began.wait()
    env.cancel.cancel("enough")
    with pytest.raises(StageCancelledError) as raised:
        await running
    assert raised.value.reason == "enough"


async def test_a_suspension_is_an_outcome_and_can_be_checked() -> None:
    env = StageEnvironment()
    outcome = await env.outcome(batch, Document(url="slow"))
    assert isinstance(outcome, WaitsOutside)
    with pytest.raises(StageError, match="suspended"):
        await env.run(batch, Document(url="slow"))
    waiting = await env.check(batch, BatchState(batch_id="b-slow"))
    assert isinstance(waiting, StillWaiting)
    assert waiting.state == {"batch_id": "b-quick"}
    done = await env.check(batch, waiting.state, config=ExtractConfig(max_length=3))
    assert done == Extracted(text="b-quick", word_count=3)


async def test_a_workflow_runs_whole() -> None:
    env = StageEnvironment()
    output = await env.run_workflow(
        document_processor, Document(url="a b c"), config={"extract-text": {"max_length": 3}}
    )
    assert output == {"words": 2.0, "sentiment": 0.5}
    assert list(env.outputs) == ["extract-text", "sentiment", "keywords", "aggregate"]
    assert env.outputs["keywords"] == b'["a","b"]'


async def test_a_parallel_end_gives_an_object_by_stage_id() -> None:
    built = Workflow("w", input=Document).pipe(extract_text).parallel(sentiment, keywords).build()
    output = await StageEnvironment().run_workflow(built, Document(url="a b"))
    assert output == {"sentiment": 0.5, "keywords": ["a", "b"]}


async def test_a_join_is_read_by_a_model() -> None:
    class Joined(BaseModel):
        sentiment: float
        keywords: list[str]

    @stage("joins")
    async def joins(ctx: Context[Joined]) -> int:
        return len(ctx.input.keywords)

    built = Workflow("w", input=Document).pipe(extract_text).parallel(sentiment, keywords).pipe(joins).build()
    assert await StageEnvironment().run_workflow(built, Document(url="a b")) == 2


async def test_a_workflow_refuses_bad_config() -> None:
    with pytest.raises(ConfigError, match=r"config\.extract-text\.max_length"):
        await StageEnvironment().run_workflow(
            document_processor, Document(url=""), config={"extract-text": {"max_length": 0}}
        )


async def test_an_outcome_is_what_is_reported() -> None:
    outcome = await StageEnvironment().outcome(sentiment, Extracted(text="", word_count=0))
    assert outcome == Completed(b"0.5")
