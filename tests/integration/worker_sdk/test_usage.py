"""AI calls of stages reach the ledger: live, with the report, from failed attempts, and from workers without a stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import BaseModel

from stageline_engine.ports import UsageFilter, UsageSum
from stageline_sdk import Client, Context, NoInput, RetryPolicy, RunStatus, Worker, Workflow, stage
from stageline_server.stores import memory_ports
from tests.integration.server.running import Server, running
from tests.waiting import eventually


class Count(BaseModel):
    calls: int = 1


@stage("spend")
async def spend(ctx: Context[Count]) -> int:
    for number in range(ctx.input.calls):
        ctx.ai.record_call(model="fast", topic=f"call.{number % 3}", cost_usd="0.001", input_tokens=2)
    return ctx.input.calls


@stage("block")
def block(ctx: Context[NoInput]) -> int:
    ctx.ai.record_call(model="slow", cost_usd="1")
    return 1


@stage("stumble", retry=RetryPolicy(max_attempts=2, initial_backoff=timedelta(0)))
async def stumble(ctx: Context[NoInput]) -> int:
    ctx.ai.record_call(cost_usd="0.5")
    if ctx.attempt == 1:
        raise ConnectionError("the money is spent all the same")
    return 2


@stage("hold")
async def hold(ctx: Context[NoInput]) -> int:
    ctx.ai.record_call(cost_usd="0.25")
    await ctx.cancelled
    return 1


SPENDING = Workflow("spending", input=Count).pipe(spend).pipe(block).build()
STUMBLING = Workflow("stumbling", input=Count).pipe(stumble).build()
HOLDING = Workflow("holding", input=Count).pipe(hold).build()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running(memory_ports()) as started:
        yield started


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    worker = Worker(SPENDING, STUMBLING, HOLDING)
    serving = asyncio.create_task(worker.run(server.application.address))
    async with Client(server.application.address) as client:

        async def registered() -> bool:
            return len([each async for each in client.list_workflows()]) == 3

        await eventually(registered, what="the worker's workflows")
        yield client
    worker.stop(timedelta(0))
    with suppress(Exception):
        await serving


async def total(server: Server) -> UsageSum:
    ledger = server.application.plane.ports.usage
    (found,) = await ledger.sum_calls("default", UsageFilter(), limit=1)
    return found


@pytest.mark.parametrize("calls", [1, 2_000])
async def test_a_run_that_has_ended_knows_what_it_cost(server: Server, client: Client, calls: int) -> None:
    result = await client.run_and_wait(SPENDING, Count(calls=calls))
    assert result.status is RunStatus.COMPLETED

    async def booked() -> bool:
        return (await total(server)).calls == calls + 1

    await eventually(booked, what="every call")
    run = await client.get_run(result.run_id)
    assert run.total_cost_usd == Decimal("0.001") * calls + 1
    found = await total(server)
    assert (found.cost, found.wasted_calls) == (run.total_cost_usd, 0)


async def test_few_calls_are_booked_with_the_outcome(server: Server, client: Client) -> None:
    """The very answer that tells of the run's end has its cost: the calls were in the outcome's transaction, or before."""
    result = await client.run_and_wait(SPENDING, Count(calls=100))
    assert (await client.get_run(result.run_id)).total_cost_usd == Decimal("1.1")


async def test_a_failed_attempt_is_paid_and_shown_as_waste(server: Server, client: Client) -> None:
    result = await client.run_and_wait(STUMBLING, Count())
    assert result.status is RunStatus.COMPLETED
    assert (await client.get_run(result.run_id)).total_cost_usd == Decimal(1)
    assert (await total(server)).wasted_cost == Decimal("0.5")


async def test_a_call_is_booked_while_its_stage_runs_and_stays_after_the_cancellation(
    server: Server, client: Client
) -> None:
    run = await client.create_run(HOLDING, Count())

    async def booked() -> bool:
        return (await total(server)).calls == 1

    await eventually(booked, what="the call of a stage that still runs")
    await client.cancel_run(run.id)
    assert (await client.wait_for_run(run.id)).status is RunStatus.CANCELLED
    assert (await client.get_run(run.id)).total_cost_usd == Decimal("0.25")
    assert (await total(server)).wasted_cost == Decimal("0.25")


@pytest.mark.parametrize("calls", [1, 2_000])
async def test_a_worker_without_a_stream_books_all(server: Server, calls: int) -> None:
    address = server.application.address
    async with Client(address) as client:
        await client.register_workflow(SPENDING)
        run = await client.create_run(SPENDING, Count(calls=calls))
        done = await Worker(SPENDING).run_once(address=address)
        assert [job.outcome for job in done.jobs] == ["COMPLETED"]
        assert (await client.get_run(run.id)).total_cost_usd == Decimal("0.001") * calls
