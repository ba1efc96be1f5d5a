"""The sources of time, ids and events that ship conform."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from stageline_engine.adapters.system import NoopScheduler, SystemClock, SystemIds, SystemScheduler
from stageline_engine.testing import CollectingSink, SequentialIds, VirtualClock, conformance
from stageline_engine.testing.conformance.sources import PassTime


class TestVirtualClock(conformance.ClockConformance):
    @asynccontextmanager
    async def clock(self) -> AsyncIterator[VirtualClock]:
        yield VirtualClock()


class TestSystemClock(conformance.ClockConformance):
    @asynccontextmanager
    async def clock(self) -> AsyncIterator[SystemClock]:
        yield SystemClock()


class TestVirtualScheduler(conformance.SchedulerConformance):
    @asynccontextmanager
    async def scheduler(self) -> AsyncIterator[tuple[VirtualClock, VirtualClock, PassTime]]:
        clock = VirtualClock()

        async def advance(step: timedelta) -> None:
            await asyncio.sleep(0)  # who waits has begun to
            clock.advance(step)

        yield clock, clock, advance


class TestSystemScheduler(conformance.SchedulerConformance):
    @asynccontextmanager
    async def scheduler(self) -> AsyncIterator[tuple[SystemScheduler, SystemClock, PassTime]]:
        async def by_itself(_: timedelta) -> None:
            return

        clock = SystemClock()
        yield SystemScheduler(clock), clock, by_itself


async def test_a_host_without_timers_is_never_woken() -> None:
    clock = VirtualClock()
    waiting = asyncio.create_task(NoopScheduler().wait_until(clock.now()))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


class TestSystemIds(conformance.IdConformance):
    def ids(self) -> SystemIds:
        return SystemIds()


class TestSequentialIds(conformance.IdConformance):
    def ids(self) -> SequentialIds:
        return SequentialIds(seed=3)

    def test_the_same_seed_gives_the_same_values(self) -> None:
        one, same, other = SequentialIds(1), SequentialIds(1), SequentialIds(2)
        values = [one.new_id(), one.new_token(), one.chance()]
        assert values == [same.new_id(), same.new_token(), same.chance()]
        assert values[0] != other.new_id()


class TestCollectingSink(conformance.SinkConformance):
    @asynccontextmanager
    async def sink(self) -> AsyncIterator[CollectingSink]:
        yield CollectingSink()
