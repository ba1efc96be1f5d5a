"""Alarms ring at the earliest time that they were set to, or at their pace, and go on whatever their step does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from stageline_engine.errors import StorageUnavailableError
from stageline_engine.testing.clock import VirtualClock
from stageline_server.dispatch.timers import Alarm

HOUR = timedelta(hours=1)


class Steps:
    """Steps of an alarm; each is reported, and waits for the test to say when the next is due."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[None] = asyncio.Queue()
        self.answers: asyncio.Queue[datetime | Exception | None] = asyncio.Queue()

    async def __call__(self) -> datetime | None:
        self.begun.put_nowait(None)
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def next(self) -> None:
        await asyncio.wait_for(self.begun.get(), 20)


@asynccontextmanager
async def ringing() -> AsyncIterator[tuple[Alarm, Steps, VirtualClock]]:
    steps, clock = Steps(), VirtualClock()
    alarm = Alarm(steps, clock, clock, name="test")
    alarm.start()
    await steps.next()
    yield alarm, steps, clock
    await alarm.stop()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_it_rings_when_it_is_set_to_now() -> None:
    async with ringing() as (alarm, steps, clock):
        steps.answers.put_nowait(None)
        await settle()
        alarm.set_no_later_than(clock.now())
        await steps.next()


async def test_a_time_set_during_the_step_is_not_lost() -> None:
    async with ringing() as (alarm, steps, clock):
        alarm.set_no_later_than(clock.now())
        steps.answers.put_nowait(clock.now() + HOUR)
        await steps.next()


async def test_the_earliest_time_counts() -> None:
    async with ringing() as (alarm, steps, clock):
        steps.answers.put_nowait(clock.now() + HOUR)
        await settle()
        alarm.set_no_later_than(clock.now() + 2 * HOUR)
        await settle()
        assert steps.begun.empty()
        alarm.set_no_later_than(clock.now() + HOUR / 2)
        clock.advance(HOUR / 2)
        await steps.next()


async def test_it_rings_when_its_time_comes_and_not_before() -> None:
    async with ringing() as (_, steps, clock):
        steps.answers.put_nowait(clock.now() + HOUR)
        await settle()
        clock.advance(HOUR - timedelta(microseconds=1))
        await settle()
        assert steps.begun.empty()
        clock.advance(timedelta(microseconds=1))
        await steps.next()


async def test_a_step_that_is_due_at_once_comes_at_once() -> None:
    async with ringing() as (_, steps, clock):
        steps.answers.put_nowait(clock.now())
        await steps.next()


async def test_a_step_that_fails_comes_again() -> None:
    async with ringing() as (_, steps, _clock):
        steps.answers.put_nowait(StorageUnavailableError("away"))
        await steps.next()


async def test_one_with_a_pace_goes_on_after_a_failure_though_time_stands_still() -> None:
    ran: asyncio.Queue[None] = asyncio.Queue()
    errors: list[Exception] = [StorageUnavailableError("away"), RuntimeError("unforeseen")]

    async def step() -> datetime | None:
        ran.put_nowait(None)
        if errors:
            raise errors.pop(0)
        return None

    clock = VirtualClock()
    paced = Alarm(step, clock, clock, name="test", every=timedelta(milliseconds=1))
    paced.start()
    for _ in range(4):
        await asyncio.wait_for(ran.get(), 20)
    await paced.stop()


async def test_one_with_a_pace_is_woken_before_its_turn() -> None:
    steps, clock = Steps(), VirtualClock()
    paced = Alarm(steps, clock, clock, name="test", every=timedelta(days=1))
    paced.start()
    await steps.next()
    steps.answers.put_nowait(None)
    await settle()
    paced.set_no_later_than(clock.now())
    await steps.next()
    await paced.stop()
