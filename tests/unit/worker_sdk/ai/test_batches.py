"""`ctx.ai.batch`: what is submitted, once; what comes back of each item; what is booked."""

from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import BaseModel
from pydantic_ai.models.batch import BatchResult

from stageline_sdk import Context, NoInput, StillWaiting, SuspectedOrphanError, Suspended, stage
from stageline_sdk.ai.batches.batch import check_after
from stageline_sdk.ai.batches.errors import BatchHandleError, BatchItemsError, BatchNotEndedError
from stageline_sdk.ai.batches.handle import BatchHandle
from stageline_sdk.ai.batches.items import BatchItem, BatchResults, ItemFailed, ItemSucceeded
from stageline_sdk.ai.errors import ProviderUnavailableError, RequestRefusedError, UnusableModelError
from stageline_sdk.ai.models import AiModel, ModelPrices
from stageline_sdk.ai.registry import ModelRegistry
from stageline_sdk.presets import DebugConfig
from stageline_sdk.testing import StageEnvironment, WaitsOutside
from tests.unit.worker_sdk.ai.batch_provider import BatchProvider


class Page(BaseModel):
    title: str
    words: int


def say(prompt: str) -> str | BatchResult:
    """Answer, or fail, as the prompt says."""
    answers: dict[str, str | BatchResult] = {
        "good": '{"title": "A", "words": 3}',
        "malformed": '{"title": "A", "wor',
        "mismatched": '{"title": "A", "words": "many"}',
        "refused": BatchResult(custom_id="", status="errored", body="400"),
        "overloaded": BatchResult(custom_id="", status="errored", body="529"),
        "expired": BatchResult(custom_id="", status="expired"),
        "canceled": BatchResult(custom_id="", status="canceled"),
    }
    return answers.get(prompt, prompt)


@pytest.fixture
def provider() -> BatchProvider:
    return BatchProvider(say)


@stage("ask", mode="async-batch")
async def ask(ctx: Context[dict[str, str]]) -> dict[str, str] | Suspended:
    handle = await ctx.ai.batch(Page).submit(ctx.input)
    return Suspended(state=handle)


@ask.check
async def collect(ctx: Context[NoInput], state: BatchHandle) -> dict[str, str] | StillWaiting:
    batch = ctx.ai.batch(Page)
    status = await batch.status(state)
    if not status.is_ended:
        return StillWaiting(next_check=status.check_after)
    results = await batch.results(state)
    return {each.id: each.reason if isinstance(each, ItemFailed) else each.output.title for each in results}


PROMPTS = {
    name: name for name in ("good", "malformed", "mismatched", "refused", "overloaded", "expired", "canceled")
}


async def test_11_10_118_each_item_succeeds_or_fails_with_its_reason_and_is_booked_once(
    provider: BatchProvider,
) -> None:
    """Fetched twice, the second time by another process, which has nothing but the stored state."""
    env = StageEnvironment(models=provider.registry())
    suspended = await env.outcome(ask, PROMPTS)
    assert isinstance(suspended, WaitsOutside)
    expected = {
        "good": "A",
        "malformed": "invalid-output",
        "mismatched": "invalid-output",
        "refused": "provider",
        "overloaded": "provider",
        "expired": "expired",
        "canceled": "cancelled",
    }
    state = BatchHandle.model_validate_json(suspended.state)
    assert await env.check(ask, state) == expected
    other = StageEnvironment(models=provider.registry())
    assert await other.check(ask, state) == expected
    assert [each.id for each in env.usage] == [each.id for each in other.usage]
    assert len({each.id for each in env.usage}) == len(PROMPTS)
    booked = {each.metadata["item"]: each for each in env.usage}
    assert {item for item, record in booked.items() if not record.error} == {"good"}
    # Answers that do not fit are paid all the same; what no model ran costs nothing.
    assert {item for item, record in booked.items() if record.cost_usd} == {"good", "malformed", "mismatched"}
    assert all(record.call_type == "batch" and record.batch_id for record in env.usage)


async def test_a_batch_costs_half_by_the_list_of_prices_and_by_registered_ones(
    provider: BatchProvider,
) -> None:
    env = StageEnvironment(models=provider.registry())
    await env.check(ask, await submitted(env, {"good": "good"}))
    prices = ModelPrices(input=Decimal(2), output=Decimal(10), batch_discount=Decimal("0.5"))
    own = StageEnvironment(models=provider.registry(prices=prices))
    await own.check(ask, await submitted(own, {"good": "good"}))
    assert [(each.cost_usd, each.cost_source) for each in (*env.usage, *own.usage)] == [
        (Decimal("0.000325"), "price-list"),  # Half of 1,000 at 0.25 and 200 at 2.00 for a million.
        (Decimal("0.002"), "caller"),  # Half of 1,000 at 2 and 200 at 10.
    ]


async def submitted(env: StageEnvironment, prompts: dict[str, str]) -> BatchHandle:
    outcome = await env.outcome(ask, prompts)
    assert isinstance(outcome, WaitsOutside), outcome
    return BatchHandle.model_validate_json(outcome.state)


async def test_a_batch_is_asked_for_until_it_has_ended(provider: BatchProvider) -> None:
    provider.pending_polls = 2
    env = StageEnvironment(models=provider.registry())
    state = await submitted(env, {"good": "good"})
    assert isinstance(await env.check(ask, state), StillWaiting)
    assert isinstance(await env.check(ask, state), StillWaiting)
    assert await env.check(ask, state) == {"good": "A"}


async def test_what_is_over_the_providers_limit_goes_in_several_batches(provider: BatchProvider) -> None:
    provider.requests_max = 2
    env = StageEnvironment(models=provider.registry())
    state = await submitted(env, {str(number): "good" for number in range(5)})
    assert [len(part.item_ids) for part in state.parts] == [2, 2, 1]
    assert [each.phase for each in env.submissions.values()] == ["CONFIRMED"] * 3
    assert await env.check(ask, state) == dict.fromkeys("01234", "A")


async def test_ids_of_any_characters_become_ones_that_every_provider_takes(provider: BatchProvider) -> None:
    env = StageEnvironment(models=provider.registry())
    state = await submitted(env, {"ä/ü 1": "good", "x" * 255: "good"})
    sent = [each for ids in provider.submitted.values() for each in ids]
    assert all(
        len(each) <= 64 and each.replace("-", "").replace("_", "").isalnum() and each.isascii()
        for each in sent
    )
    assert await env.check(ask, state) == {"ä/ü 1": "A", "x" * 255: "A"}


async def test_a_lost_reply_of_a_provider_that_cannot_be_asked_fails_the_stage_and_pays_no_second_time(
    provider: BatchProvider,
) -> None:
    provider.lost_replies = 1
    env = StageEnvironment(models=provider.registry())
    with pytest.raises(ProviderUnavailableError):
        await env.run(ask, {"good": "good"})
    with pytest.raises(SuspectedOrphanError):
        await env.run(ask, {"good": "good"})
    assert len(provider.submitted) == 1
    assert [each.phase for each in env.submissions.values()] == ["SUSPECTED"]


async def test_a_refused_batch_may_be_submitted_again_without_a_look(provider: BatchProvider) -> None:
    provider.refusals = [400, 429]
    env = StageEnvironment(models=provider.registry())
    with pytest.raises(RequestRefusedError):
        await env.run(ask, {"good": "good"})
    with pytest.raises(Exception, match="429"):
        await env.run(ask, {"good": "good"})
    state = await submitted(env, {"good": "good"})
    assert await env.check(ask, state) == {"good": "A"}


async def test_a_part_that_is_refused_takes_those_before_it_back(provider: BatchProvider) -> None:
    """Nobody would fetch them: the stage has failed for good."""
    provider.requests_max, provider.refusals, provider.pending_polls = 1, [0, 400], 100
    env = StageEnvironment(models=provider.registry())
    with pytest.raises(RequestRefusedError):
        await env.run(ask, {"a": "good", "b": "good"})
    assert (provider.cancelled, len(provider.submitted)) == (list(provider.submitted), 1)


async def test_what_the_provider_has_no_word_of_has_an_unknown_cost(provider: BatchProvider) -> None:
    env = StageEnvironment(models=provider.registry())
    state = await submitted(env, {"a": "good", "b": "forgotten"})
    assert await env.check(ask, state) == {"a": "A", "b": "missing"}
    costs = {each.metadata["item"]: each.cost_usd for each in env.usage}
    assert costs["b"] is None


async def test_an_attempt_after_a_confirmed_submission_takes_it_over(provider: BatchProvider) -> None:
    """The worker died after the confirmation and before its report; the items come in another order now."""
    env = StageEnvironment(models=provider.registry())
    await submitted(env, {"good": "good", "bad": "malformed"})
    again = await submitted(env, {"bad": "malformed", "good": "good"})
    assert len(provider.submitted) == 1
    assert await env.check(ask, again) == {"good": "A", "bad": "invalid-output"}


async def test_a_handle_of_another_type_or_model_is_refused(provider: BatchProvider) -> None:
    env = StageEnvironment(models=provider.registry())
    state = await submitted(env, {"good": "good"})
    for wrong in ({"output_type": "Other"}, {"model": "other"}):
        with pytest.raises(BatchHandleError, match="submitted with"):
            await env.check(ask, state.model_copy(update=wrong))


@stage("early")
async def early(ctx: Context[NoInput]) -> list[str]:
    batch = ctx.ai.batch()
    handle = await batch.submit([BatchItem(id="a", prompt="hello", instructions="Be kind.")])
    try:
        results = await batch.results(handle)
    except BatchNotEndedError:
        await batch.cancel(handle)
        results = await batch.results(handle)
    return [each.output for each in results if isinstance(each, ItemSucceeded)]


async def test_a_batch_can_be_cancelled_and_what_ran_is_fetched(provider: BatchProvider) -> None:
    provider.pending_polls = 100
    env = StageEnvironment(models=provider.registry())
    assert await env.run(early) == ["hello"]
    assert provider.cancelled == list(provider.submitted)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ({}, r"1 to 100,000 items, got 0"),
        ({"": "x"}, r"items\[0\]\.id has 1 to 255 characters, got 0"),
        ({"i" * 256: "x"}, r"got 256"),
    ],
)
async def test_wrong_items_are_told_before_anything_is_sent(
    provider: BatchProvider, items: dict[str, str], said: str
) -> None:
    env = StageEnvironment(models=provider.registry())
    with pytest.raises(BatchItemsError, match=said):
        await env.run(ask, items)
    assert env.submissions == {}


async def test_a_model_without_batches_is_told_with_what_to_do(provider: BatchProvider) -> None:
    house = AiModel(key="house", provider="openai-compatible", base_url="http://127.0.0.1:1/v1")
    env = StageEnvironment(models=ModelRegistry([house], default="house"))
    with pytest.raises(UnusableModelError, match="BatchRoute"):
        await env.run(ask, {"a": "b"})


def test_waits_between_looks_grow_with_the_age_of_the_batch() -> None:
    waits = [check_after(timedelta(minutes=minutes)) for minutes in (0, 4, 20, 300)]
    assert waits == [timedelta(seconds=30), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=10)]


def test_the_sum_of_costs_is_unknown_where_one_is() -> None:
    known = ItemSucceeded(id="a", output="x", cost_usd=Decimal("0.5"))
    failed = ItemFailed(id="b", reason="expired", message="", is_retryable=True, cost_usd=Decimal(0))
    assert BatchResults((known, failed)).cost_usd == Decimal("0.5")
    assert BatchResults((known, ItemSucceeded(id="c", output="x"))).cost_usd is None


@stage("plain")
def plain(ctx: Context[NoInput]) -> dict[str, str]:
    batch = ctx.ai.sync.batch()
    handle = batch.submit({"a": "hello"})
    while not batch.status(handle).is_ended:
        batch.cancel(handle)
    return dict(batch.results(handle, prompts={"a": "hello"}).outputs)


async def test_a_plain_stage_waits_for_its_answers(provider: BatchProvider) -> None:
    provider.pending_polls = 100
    env = StageEnvironment(models=provider.registry())
    assert await env.run(plain) == {"a": "hello"}
    assert [(each.prompt, each.response) for each in env.usage] == [("hello", "hello")]


@stage("rehearse")
async def rehearse(ctx: Context[NoInput, DebugConfig]) -> list[str]:
    pages, texts = ctx.ai.batch(Page), ctx.ai.batch(list[int], name="lists")
    handle, other = await pages.submit({"a": "x", "b": "y"}), await texts.submit({"c": "z"})
    assert (await pages.status(handle)).is_ended
    await pages.cancel(handle)
    results = [*await pages.results(handle), *await texts.results(other)]
    return [type(each.output).__name__ for each in results if isinstance(each, ItemSucceeded)]


async def test_a_dry_run_submits_nothing_and_makes_up_values_of_the_type(provider: BatchProvider) -> None:
    env = StageEnvironment(models=provider.registry())
    assert await env.run(rehearse, config=DebugConfig(dry_run=True)) == ["Page", "Page", "list"]
    assert (provider.submitted, env.submissions, env.usage) == ({}, {}, [])
