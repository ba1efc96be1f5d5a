"""`ctx.ai.batch` at each provider: through crashes at every point of a submission, to results that are booked as billed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from stageline_sdk import ApiError, Context, NoInput, StillWaiting, Suspended, stage
from stageline_sdk.ai.batches.handle import BatchHandle
from stageline_sdk.ai.batches.items import ItemFailed
from stageline_sdk.ai.errors import KeyRefusedError, ProviderUnavailableError, RateLimitedError
from stageline_sdk.ai.registry import ModelRegistry
from stageline_sdk.ai.testing import Asked, BatchPlan, Failure, FakeProvider, Reply, Tokens
from stageline_sdk.submissions import Submission
from stageline_sdk.testing import StageEnvironment, WaitsOutside

MODELS = {"openai": "gpt-5-mini", "anthropic": "claude-haiku-4-5", "google": "gemini-2.5-flash"}
TOKENS = Tokens(input=1000, cached=400, output=200, reasoning=50)
each_provider = pytest.mark.parametrize("name", MODELS)


class City(BaseModel):
    name: str
    inhabitants: int


def answer(asked: Asked) -> Reply | Failure:
    """Answer by what the prompt says."""
    if "broken" in asked.prompt:
        return Reply(text='{"name": "Rome", "inhab', tokens=TOKENS)
    if "mismatch" in asked.prompt:
        return Reply(value={"name": "Rome", "inhabitants": "many"}, tokens=TOKENS)
    if "refuse" in asked.prompt:
        return Failure(status=400, message="not this")
    return Reply(value={"name": asked.prompt, "inhabitants": 3}, tokens=TOKENS)


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    with FakeProvider(answer) as provider:
        yield provider


def other_run(fake: FakeProvider, name: str, run_id: str = "another") -> StageEnvironment:
    """A stage of another run, with the same account at the provider."""
    return environment(fake, name, run_id)


def environment(fake: FakeProvider, name: str, run_id: str = "the run") -> StageEnvironment:
    registry = ModelRegistry(
        base_urls={each: fake.base_url(each) for each in ("openai", "anthropic", "google")},
        api_keys=dict.fromkeys(MODELS, "k"),
        default=MODELS[name],
    )
    return StageEnvironment(models=registry, run_id=run_id)


@stage("ask", mode="async-batch")
async def ask(ctx: Context[dict[str, str]]) -> dict[str, str] | Suspended:
    batch = ctx.ai.batch(City, max_tokens=100, look_again_after=timedelta(0))
    return Suspended(state=await batch.submit(ctx.input))


@ask.check
async def collect(ctx: Context[NoInput], state: BatchHandle) -> dict[str, str] | StillWaiting:
    batch = ctx.ai.batch(City)
    if not (await batch.status(state)).is_ended:
        return StillWaiting()
    results = await batch.results(state)
    return {each.id: each.reason if isinstance(each, ItemFailed) else each.output.name for each in results}


async def submitted(env: StageEnvironment, prompts: dict[str, str]) -> BatchHandle:
    outcome = await env.outcome(ask, prompts)
    assert isinstance(outcome, WaitsOutside), outcome
    return BatchHandle.model_validate_json(outcome.state)


def booked(*environments: StageEnvironment) -> dict[str, Decimal | None]:
    """What a ledger would hold: the first record of each id."""
    records = {each.id: each for env in reversed(environments) for each in env.usage}
    return {str(each.metadata["item"]): each.cost_usd for each in records.values()}


@each_provider
async def test_results_are_typed_booked_as_billed_and_the_input_is_gone(
    name: str, fake: FakeProvider
) -> None:
    env = environment(fake, name)
    prompts = {"a/1": "Paris", "b": "broken", "c": "mismatch", "d": "refuse"}
    state = await submitted(env, prompts)
    expected = {"a/1": "Paris", "b": "invalid-output", "c": "invalid-output", "d": "provider"}
    assert await env.check(ask, state) == expected
    other = environment(fake, name)
    assert await other.check(ask, state) == expected
    ledger = booked(env, other)
    assert sum(cost for cost in ledger.values() if cost is not None) == fake.bill.total_usd
    assert (len(fake.bill.charges), ledger["d"], len(ledger)) == (3, Decimal(0), 4)
    paid = next(each for each in env.usage if each.metadata["item"] == "a/1")
    assert (paid.input_tokens, paid.cached_input_tokens, paid.output_tokens) == (1000, 400, 200)
    (key,) = env.submissions
    assert [each.name for each in fake.files if key in each.name] == []


@each_provider
async def test_a_batch_that_ends_badly_gives_each_item_its_reason_however_often_it_is_fetched(
    name: str, fake: FakeProvider
) -> None:
    endings: dict[Any, str] = {"expired": "expired", "cancelled": "cancelled", "failed": "provider"}
    for ending, reason in endings.items():
        fake.plan_batches(BatchPlan(ending=ending))
        env = environment(fake, name, ending)
        state = await submitted(env, {"a": "Paris", "b": "Rome"})
        for _ in range(2):
            assert await env.check(ask, state) == {"a": reason, "b": reason}
        assert set(booked(env).values()) == {Decimal(0)}


@each_provider
async def test_a_crash_before_the_call_leaves_one_batch(name: str, fake: FakeProvider) -> None:
    """The declaration is on record, and the worker died before it called the provider."""
    env = environment(fake, name)
    key = (await declared(env, fake)).key
    state = await submitted(env, {"a": "Paris", "b": "Rome"})
    assert (len(fake.batches), env.submissions[key].phase) == (1, "CONFIRMED")
    assert await env.check(ask, state) == {"a": "Paris", "b": "Rome"}


@each_provider
async def test_a_lost_reply_leaves_one_batch_and_none_unknown(name: str, fake: FakeProvider) -> None:
    """Others of the account's batches, of as many requests, are not taken for it."""
    await submitted(other_run(fake, name, "another"), {"x": "Oslo", "y": "Bern"})
    fake.plan_batches(BatchPlan(is_reply_lost=True))
    env = environment(fake, name)
    with pytest.raises(ProviderUnavailableError):
        await env.run(ask, {"a": "Paris", "b": "Rome"})
    await submitted(other_run(fake, name, "yet another"), {"x": "Oslo", "y": "Bern"})
    state = await submitted(env, {"b": "Rome", "a": "Paris"})
    while isinstance(result := await env.check(ask, state), StillWaiting):
        pass
    assert result == {"a": "Paris", "b": "Rome"}
    assert len(fake.batches) == 3
    (submission,) = env.submissions.values()
    assert submission.phase == "CONFIRMED"


@dataclass
class _Lossy(dict[str, Submission]):
    """Submissions of which the server could not be told the confirmation."""

    is_lost: bool = field(default=True)

    def __setitem__(self, key: str, submission: Submission) -> None:
        if submission.phase == "CONFIRMED" and self.is_lost:
            self.is_lost = False
            raise ApiError("the worker died here")
        super().__setitem__(key, submission)


@each_provider
async def test_a_crash_after_the_reply_leaves_one_batch(name: str, fake: FakeProvider) -> None:
    """The provider answered, and the worker died before the server had the confirmation."""
    env = environment(fake, name)
    env.submissions = _Lossy()
    with pytest.raises(ApiError, match="died here"):
        await env.run(ask, {"a": "Paris"})
    state = await submitted(env, {"a": "Paris"})
    while isinstance(result := await env.check(ask, state), StillWaiting):
        pass
    assert result == {"a": "Paris"}
    assert len(fake.batches) == 1


async def declared(env: StageEnvironment, fake: FakeProvider) -> Submission:
    """Have an attempt declare its submission, and nothing more."""
    fake.plan_batches(BatchPlan(refusal=Failure(status=400)))
    with pytest.raises(Exception, match="400"):
        await env.run(ask, {"a": "Paris", "b": "Rome"})
    (submission,) = env.submissions.values()
    assert submission.phase == "WITHDRAWN"
    env.submissions[submission.key] = Submission(submission.key, "DECLARED")
    return env.submissions[submission.key]


async def test_a_batch_at_anthropic_that_goes_on_is_told_from_anothers_by_its_results(
    fake: FakeProvider,
) -> None:
    """Anthropic takes no key: of two batches that go on, only the results can say which is whose."""
    fake.plan_batches(BatchPlan(is_held=True), BatchPlan(is_held=True, is_reply_lost=True))
    await submitted(other_run(fake, "anthropic"), {"x": "Oslo"})
    env = environment(fake, "anthropic")
    with pytest.raises(ProviderUnavailableError):
        await env.run(ask, {"a": "Paris"})
    state = await submitted(env, {"a": "Paris"})
    assert [(part.batch, len(part.candidates)) for part in state.parts] == [(None, 2)]
    assert isinstance(await env.check(ask, state), StillWaiting)
    fake.release()
    assert await env.check(ask, state) == {"a": "Paris"}
    assert len(fake.batches) == 2


async def test_what_never_reached_anthropic_turns_out_so_when_the_others_have_ended(
    fake: FakeProvider,
) -> None:
    fake.plan_batches(BatchPlan(is_held=True))
    await submitted(other_run(fake, "anthropic"), {"x": "Oslo", "y": "Bern"})
    env = environment(fake, "anthropic")
    await declared(env, fake)
    state = await submitted(env, {"a": "Paris", "b": "Rome"})
    fake.release()
    assert await env.check(ask, state) == {"a": "not-submitted", "b": "not-submitted"}
    assert env.usage == []


def fake_refusing(fake: FakeProvider) -> Any:
    return fake


@each_provider
async def test_a_refused_batch_is_told_in_our_words(name: str, fake: FakeProvider) -> None:
    fake.plan_batches(BatchPlan(refusal=Failure.rate_limited()), BatchPlan(refusal=Failure(status=401)))
    env = environment(fake, name)
    for error in (RateLimitedError, KeyRefusedError):
        with pytest.raises(error):
            await env.run(ask, {"a": "Paris"})
    assert [each.phase for each in env.submissions.values()] == ["WITHDRAWN"]
    assert fake.files == []
