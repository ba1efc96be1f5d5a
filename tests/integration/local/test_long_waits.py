"""Waits of weeks, in virtual time: they end when they should, at the moment at which they should, and hold up nobody."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from stageline_engine.testing import VirtualClock
from stageline_local import LocalHost
from stageline_sdk import Context, NoInput, StillWaiting, Suspended, Workflow, stage
from tests.integration.local.conftest import MakeHost
from tests.waiting import eventually

MONTH = timedelta(days=30)
CHECKS = 200


@dataclass
class Outside:
    """What the checks of this test ask."""

    asked: int = 0
    answers: asyncio.Event = field(default_factory=asyncio.Event)


OUTSIDE: list[Outside] = []


@pytest.fixture(autouse=True)
async def outside() -> Outside:
    OUTSIDE.append(Outside())
    return OUTSIDE[-1]


@stage("month", mode="async-batch")
async def month(ctx: Context[NoInput]) -> str | Suspended:
    return Suspended(state={"batch": "b-1"}, first_check=MONTH, max_wait=2 * MONTH)


@month.check
async def look_once(ctx: Context[NoInput], state: dict[str, str]) -> str | StillWaiting:
    OUTSIDE[-1].asked += 1
    return state["batch"]


@stage("never", mode="async-batch")
async def never(ctx: Context[NoInput]) -> str | Suspended:
    return Suspended(poll_interval=timedelta(hours=2), max_wait=timedelta(hours=3, minutes=7))


@never.check
async def look_in_vain(ctx: Context[NoInput], state: dict[str, str]) -> str | StillWaiting:
    OUTSIDE[-1].asked += 1
    return StillWaiting()


@stage("slow-or-quick", mode="async-batch")
async def slow_or_quick(ctx: Context[str]) -> str | Suspended:
    return Suspended(state=ctx.input, first_check=timedelta(hours=1), max_wait=MONTH)


@slow_or_quick.check
async def ask_provider(ctx: Context[NoInput], state: str) -> str | StillWaiting:
    OUTSIDE[-1].asked += 1
    if state == "slow":
        await OUTSIDE[-1].answers.wait()
    return state


async def test_a_stage_suspended_for_thirty_days_ends_by_one_check(
    make_host: MakeHost, outside: Outside
) -> None:
    clock = VirtualClock()
    began = clock.now()
    async with make_host(Workflow("wait", input=NoInput).pipe(month).build(), clock=clock) as host:
        result = await host.run_and_wait()
    assert (result.status, result.output, outside.asked) == ("COMPLETED", "b-1", 1)
    assert clock.now() - began == MONTH


async def test_the_longest_wait_ends_at_its_moment(make_host: MakeHost, outside: Outside) -> None:
    clock = VirtualClock()
    began = clock.now()
    async with make_host(Workflow("wait", input=NoInput).pipe(never).build(), clock=clock) as host:
        result = await host.run_and_wait()
    assert (result.status, result.error and result.error.type) == ("FAILED", "WAIT_EXPIRED")
    assert (clock.now() - began, outside.asked) == (timedelta(hours=3, minutes=7), 1)


async def test_two_hundred_due_checks_are_not_delayed_by_one_slow_provider(outside: Outside) -> None:
    workflow = Workflow("wait", input=str).pipe(slow_or_quick).build()

    async def all_asked() -> bool:
        return outside.asked == CHECKS

    async with LocalHost(workflow, clock=VirtualClock()) as host:
        slow = asyncio.create_task(host.run_and_wait("slow"))
        quick = [asyncio.create_task(host.run_and_wait("quick")) for _ in range(CHECKS - 1)]
        results = await asyncio.gather(*quick)
        await eventually(all_asked, what="the slow check to begin")
        assert not slow.done()
        outside.answers.set()
        last = await slow
    assert {result.output for result in results} == {"quick"}
    assert last.output == "slow"
