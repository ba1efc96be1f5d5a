"""What runs cost by the ledger is what the provider charged, whatever becomes of their stages."""

import asyncio
from datetime import timedelta
from decimal import Decimal

from pydantic import BaseModel

from stageline_local import LocalHost, run_local
from stageline_sdk import Context, NoInput, RetryPolicy, RunStatus, Workflow, stage
from stageline_sdk.ai.testing import Failure, FakeProvider, Reply, Tokens
from stageline_sdk.presets import StandardConfig
from tests.integration.ai.houses import registry_of

TOKENS = Tokens(input=1000, cached=400, output=200, reasoning=50)
SOON = RetryPolicy(max_attempts=3, initial_backoff=timedelta(milliseconds=1))


class Verdict(BaseModel):
    score: int


@stage("write")
async def write(ctx: Context[NoInput, StandardConfig]) -> list[int]:
    answers = await asyncio.gather(*(ctx.ai.child("page", str(n)).generate_text("?") for n in range(4)))
    return [len(answer.text) for answer in answers]


@stage("judge")
def judge(ctx: Context[list[int]]) -> dict[str, int]:
    verdict = ctx.ai.sync.generate_object("?", Verdict, model="claude-haiku-4-5", max_tokens=100).value
    with ctx.ai.sync.stream_text("?", model="router") as stream:
        pieces = list(stream)
    vectors = ctx.ai.sync.embed(["a", "b"], model="text-embedding-3-small").vectors
    return {"score": verdict.score, "pieces": len(pieces), "vectors": len(vectors)}


@stage("apart", executor="process")
def apart(ctx: Context[NoInput]) -> str:
    return ctx.ai.sync.generate_text("?", model="house").text


@stage("picky", retry=SOON)
async def picky(ctx: Context[NoInput]) -> str:
    text = (await ctx.ai.generate_text("?", model="gpt-5-mini", max_retries=0)).text
    if text != "good":
        raise ValueError("not good enough")
    return text


@stage("patient")
async def patient(ctx: Context[NoInput]) -> str:
    return (await ctx.ai.generate_text("?", model="gpt-5-mini")).text


both = Workflow("both", input=NoInput).pipe(write).pipe(judge).build()
in_process = Workflow("in-process", input=NoInput).pipe(apart).build()
retried = Workflow("retried", input=NoInput).pipe(picky).build()
waiting = Workflow("waiting", input=NoInput).pipe(patient).build()


def test_a_run_costs_what_its_calls_of_every_kind_were_charged(fake: FakeProvider) -> None:
    fake.answer(*(Reply(text="done", tokens=TOKENS) for _ in range(4)))
    fake.answer(Reply(value={"score": 3}, tokens=TOKENS), Reply(text="one two", tokens=TOKENS))
    result = run_local(
        both, {}, models=registry_of(fake), config={"write": {"model": "house", "concurrency": 2}}
    )
    assert result.output == {"score": 3, "pieces": 2, "vectors": 2}
    assert result.run.total_cost_usd == fake.bill.total_usd > 4 * Decimal("0.0036")


def test_a_stage_in_a_process_of_its_own_has_the_registry_too(fake: FakeProvider) -> None:
    fake.answer(Reply(text="apart", tokens=TOKENS))
    result = run_local(in_process, {}, models=registry_of(fake))
    assert (result.output, result.run.total_cost_usd) == ("apart", Decimal("0.0036"))


def test_what_failed_attempts_spent_is_part_of_the_sum(fake: FakeProvider) -> None:
    fake.answer(
        Reply(text="bad", tokens=TOKENS),
        Failure.rate_limited(timedelta(milliseconds=1)),
        Reply(text="good", tokens=TOKENS),
    )
    result = run_local(retried, {})
    assert result.output == "good"
    assert result.run.total_cost_usd == fake.bill.total_usd
    assert len(fake.bill.charges) == 2


async def test_a_cancelled_run_ends_its_call_at_once(fake: FakeProvider) -> None:
    fake.answer(Reply(tokens=TOKENS, is_held=True))
    async with LocalHost(waiting) as host:
        run = await host.create_run({})
        await asyncio.to_thread(fake.wait_for_held)
        await host.client.cancel_run(run.id)
        result = await host.wait_for_run(run.id)
    assert result.run.status is RunStatus.CANCELLED
    fake.release()
