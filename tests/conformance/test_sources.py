"""The sources of time, ids and events that ship conform."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stageline_engine.adapters.system import SystemClock, SystemIds
from stageline_engine.testing import CollectingSink, SequentialIds, VirtualClock, conformance


class TestVirtualClock(conformance.ClockConformance):
    @asynccontextmanager
    async def clock(self) -> AsyncIterator[VirtualClock]:
        yield VirtualClock()


class TestSystemClock(conformance.ClockConformance):
    @asynccontextmanager
    async def clock(self) -> AsyncIterator[SystemClock]:
        yield SystemClock()


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
