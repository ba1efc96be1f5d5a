"""`ai_batch_stage`: prompts in, results out; what failed for a moment goes into a next batch."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.models.batch import BatchResult
from pydantic_core import from_json, to_json

from stageline_sdk import Context, DefinitionError, NoInput, Stage, StillWaiting, SuspectedOrphanError
from stageline_sdk._execute import StageRunner
from stageline_sdk._job import Job
from stageline_sdk.ai.batches.items import BatchItem, BatchResults, Turn
from stageline_sdk.ai.batches.rounds import BatchStageState
from stageline_sdk.ai.batches.stage import ai_batch_stage
from stageline_sdk.ai.batches.stored_items import from_stored, shown, to_stored
from stageline_sdk.ai.options import Media
from stageline_sdk.presets import AIConfig
from stageline_sdk.testing import StageEnvironment, WaitsOutside
from tests.unit.worker_sdk.ai.batch_provider import BatchProvider
from tests.unit.worker_sdk.sinks import KeepingSink


class Verdict(BaseModel):
    is_spam: bool


class Report(BaseModel):
    spam: list[str]
    failed: dict[str, str]


def questions(ctx: Context[dict[str, str], AIConfig]) -> dict[str, str]:
    return ctx.input


@ai_batch_stage("judge", Verdict, prompts=questions, item_attempts=3, model="scripted")
async def judge(ctx: Context[NoInput, AIConfig], results: BatchResults[Verdict]) -> Report:
    """Say which are spam."""
    return Report(
        spam=[id_ for id_, verdict in results.outputs.items() if verdict.is_spam],
        failed={id_: failed.reason for id_, failed in results.failures.items()},
    )


def flaky(failures: int) -> Callable[[str], str | BatchResult]:
    """Answer a prompt `busy` after so many failures, `never` never, all others at once."""
    left = [failures]

    def answer(prompt: str) -> str | BatchResult:
        if prompt == "never":
            return BatchResult(custom_id="", status="errored", body="400")
        if prompt == "busy" and left[0]:
            left[0] -= 1
            return BatchResult(custom_id="", status="errored", body="503")
        return '{"is_spam": true}'

    return answer


async def suspended(env: StageEnvironment, of: Stage[Any, Any, Any], given: Any) -> BatchStageState:
    outcome = await env.outcome(of, given)
    assert isinstance(outcome, WaitsOutside), outcome
    return BatchStageState.model_validate_json(outcome.state)


async def next_state(
    env: StageEnvironment, of: Stage[Any, Any, Any], state: BatchStageState
) -> BatchStageState:
    waiting = await env.check(of, state)
    assert isinstance(waiting, StillWaiting)
    return BatchStageState.model_validate(waiting.state)


async def test_a_stage_asks_waits_and_hands_over_the_results() -> None:
    provider = BatchProvider(flaky(0), pending_polls=1)
    env = StageEnvironment(models=provider.registry())
    state = await suspended(env, judge, {"a": "x", "b": "never"})
    assert list(env.artifacts) == ["ai-batch/judge.json"]
    waiting = await env.check(judge, state)
    assert isinstance(waiting, StillWaiting)
    assert waiting.next_check == timedelta(seconds=30)
    assert await env.check(judge, state) == Report(spam=["a"], failed={"b": "provider"})
    assert {each.prompt for each in env.usage} == {"x", "never"}
    assert env.artifacts == {}


async def test_a_stage_has_the_types_and_the_words_of_its_functions() -> None:
    assert (judge.input_type, judge.config_type, judge.output_type) == (dict[str, str], AIConfig, Report)
    assert (judge.mode, judge.description, judge.name) == ("async-batch", "Say which are spam.", "Judge")


async def test_what_failed_for_a_moment_goes_into_a_next_batch_from_another_process() -> None:
    provider = BatchProvider(flaky(1))
    env = StageEnvironment(models=provider.registry())
    state = await suspended(env, judge, {"a": "x", "b": "busy", "c": "never"})
    second = await next_state(env, judge, state)
    assert [len(ids) for ids in provider.submitted.values()] == [3, 1]
    other = StageEnvironment(models=provider.registry())
    other.artifacts, other.submissions = env.artifacts, env.submissions
    assert await other.check(judge, second) == Report(spam=["a", "b"], failed={"c": "provider"})
    # Of the first batch, `b` failed and cost nothing; the records of both processes are those of four requests.
    assert len({each.id for each in (*env.usage, *other.usage)}) == 4


async def test_an_item_has_so_many_attempts_and_no_more() -> None:
    provider = BatchProvider(flaky(100))
    env = StageEnvironment(models=provider.registry())
    state = await suspended(env, judge, {"b": "busy"})
    state = await next_state(env, judge, await next_state(env, judge, state))
    assert await env.check(judge, state) == Report(spam=[], failed={"b": "provider"})
    assert len(provider.submitted) == 3


async def test_a_check_that_died_after_it_submitted_the_next_batch_submits_it_once() -> None:
    provider = BatchProvider(flaky(1))
    env = StageEnvironment(models=provider.registry())
    state = await suspended(env, judge, {"b": "busy"})
    first = await next_state(env, judge, state)
    provider.answer = flaky(1)  # Results do not change: the dead check saw the same.
    again = await next_state(env, judge, state)
    assert again.rounds[-1].parts[0].batch is not None
    assert first.rounds[-1].parts[0].batch is not None
    assert again.rounds[-1].parts[0].batch["id"] == first.rounds[-1].parts[0].batch["id"]
    assert len(provider.submitted) == 2


async def test_an_attempt_after_a_failed_check_goes_on_with_what_was_submitted() -> None:
    provider = BatchProvider(flaky(0))
    env = StageEnvironment(models=provider.registry())
    state = await suspended(env, judge, {"a": "x"})
    job = Job(
        run_id="r",
        workflow_name="w",
        workflow_version=1,
        stage_id="judge",
        attempt=2,
        input=b"{}",
        state=state.model_dump_json().encode(),
    )
    async with StageRunner() as runner:
        outcome = await runner.run(judge, job, KeepingSink())
    assert isinstance(outcome, WaitsOutside)
    assert BatchStageState.model_validate_json(outcome.state) == state
    assert len(provider.submitted) == 1


async def test_a_provider_that_is_down_is_asked_again_later() -> None:
    provider = BatchProvider(flaky(0), failing_looks=[503, 429])
    env = StageEnvironment(models=provider.registry())
    state = await suspended(env, judge, {"a": "x"})
    for _ in range(2):
        waiting = await env.check(judge, state)
        assert isinstance(waiting, StillWaiting)
        assert (waiting.next_check, waiting.state) == (timedelta(minutes=1), None)
    assert [each.level for each in env.logs] == ["INFO", "WARNING", "WARNING"]
    assert await env.check(judge, state) == Report(spam=["a"], failed={})


async def test_a_next_batch_that_is_refused_leaves_the_results_that_there_are() -> None:
    provider = BatchProvider(flaky(1))
    env = StageEnvironment(models=provider.registry())
    state = await suspended(env, judge, {"a": "x", "b": "busy"})
    provider.refusals = [400]
    assert await env.check(judge, state) == Report(spam=["a"], failed={"b": "provider"})


async def test_a_next_batch_whose_reply_is_lost_is_not_submitted_again() -> None:
    provider = BatchProvider(flaky(1))
    env = StageEnvironment(models=provider.registry())
    state = await suspended(env, judge, {"b": "busy"})
    provider.lost_replies = 1
    assert isinstance(await env.check(judge, state), StillWaiting)
    provider.answer = flaky(1)
    with pytest.raises(SuspectedOrphanError):
        await env.check(judge, state)
    assert len(provider.submitted) == 2


async def test_no_prompts_need_no_batch() -> None:
    provider = BatchProvider(flaky(0))
    env = StageEnvironment(models=provider.registry())
    assert await env.run(judge, {}) == Report(spam=[], failed={})
    assert provider.submitted == {}


async def test_plain_functions_and_texts_will_do() -> None:
    async def greetings(ctx: Context[list[str]]) -> list[BatchItem]:
        return [BatchItem(id=name, prompt=f"Hello {name}") for name in ctx.input]

    @ai_batch_stage("greet", str, prompts=greetings)
    def greet(ctx: Context[NoInput], results: BatchResults[str]) -> dict[str, str]:
        return dict(results.outputs)

    provider = BatchProvider(str.upper)
    env = StageEnvironment(models=provider.registry())
    state = await suspended(env, greet, ["Ann"])
    assert await env.check(greet, state) == {"Ann": "HELLO ANN"}


def test_wrong_definitions_are_told_at_once() -> None:
    with pytest.raises(DefinitionError, match="item_attempts is 1 to 10, got 11"):
        ai_batch_stage("s", str, prompts=questions, item_attempts=11)
    with pytest.raises(DefinitionError, match="poll_interval is 0:00:01 to 0:10:00"):
        ai_batch_stage("s", str, prompts=questions, poll_interval=timedelta(0))
    with pytest.raises(TypeError, match="no option timeout_seconds"):
        ai_batch_stage("s", str, prompts=questions, timeout_seconds=3)  # type: ignore[call-arg]
    with pytest.raises(DefinitionError, match="return type of"):

        @ai_batch_stage("s", str, prompts=questions)
        def unsaid(ctx: Context[NoInput, AIConfig], results: BatchResults[str]):  # type: ignore[no-untyped-def]
            return None


def test_items_survive_as_json() -> None:
    picture = Media(b"\x00\xff", "image/png")
    items = [
        BatchItem(
            id="a", prompt="x", instructions="Be kind.", history=(Turn("user", "hi"), Turn("model", "ho"))
        ),
        BatchItem(id="b", prompt=("what is", picture)),
    ]
    again = from_stored(from_json(to_json(to_stored(items))))
    assert again[0] == items[0]
    assert list(again[1].prompt) == list(items[1].prompt)
    assert shown(items[1]) == ["what is", {"media_type": "image/png", "size_bytes": 2}]
