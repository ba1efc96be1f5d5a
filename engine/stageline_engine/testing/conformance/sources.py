"""What clocks, sources of ids and event sinks must do. These stand alone: each suite is given the port itself."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from uuid import RFC_4122

from stageline_engine.ports import Clock, EventSink, IdSource, Scheduler
from stageline_engine.records import EventRow, EventSource
from stageline_engine.testing.clock import EPOCH
from stageline_engine.testing.ids import SequentialIds

SAMPLES = 1000
RUN = SequentialIds().new_id()
SOURCE = EventSource(RUN, "default", "flow")

SOON = timedelta(milliseconds=20)
"""A wait of the suites; on a clock that nobody moves it takes this long."""

PassTime = Callable[[timedelta], Awaitable[None]]
"""Makes time pass, or returns at once where it passes by itself."""


class ClockConformance(ABC):
    """Time has a zone and does not go back."""

    @abstractmethod
    def clock(self) -> AbstractAsyncContextManager[Clock]:
        """Yields a clock. Called once for each test."""

    async def test_time_has_a_zone(self) -> None:
        async with self.clock() as clock:
            assert clock.now().utcoffset() is not None

    async def test_time_does_not_go_back(self) -> None:
        async with self.clock() as clock:
            times = [clock.now() for _ in range(SAMPLES)]
            assert times == sorted(times)

    async def test_a_refreshed_clock_goes_on_from_where_it_was(self) -> None:
        async with self.clock() as clock:
            before = clock.now()
            await clock.refresh()
            assert abs(clock.now() - before) < timedelta(hours=1)


class SchedulerConformance(ABC):
    """Whoever waits for a time is woken when the clock has reached it, and not before."""

    @abstractmethod
    def scheduler(self) -> AbstractAsyncContextManager[tuple[Scheduler, Clock, PassTime]]:
        """Yields a scheduler, its clock, and what makes time pass. Called once for each test."""

    async def test_who_waits_is_woken_when_the_time_has_come(self) -> None:
        async with self.scheduler() as (scheduler, clock, pass_time):
            moment = clock.now() + SOON
            waiting = asyncio.create_task(scheduler.wait_until(moment))
            await pass_time(SOON)
            await waiting
            assert clock.now() >= moment

    async def test_a_time_that_has_come_is_not_waited_for(self) -> None:
        async with self.scheduler() as (scheduler, clock, _):
            await scheduler.wait_until(clock.now() - SOON)

    async def test_the_earlier_of_two_is_woken_and_the_other_waits_on(self) -> None:
        async with self.scheduler() as (scheduler, clock, pass_time):
            now = clock.now()
            later = asyncio.create_task(scheduler.wait_until(now + timedelta(days=1)))
            sooner = asyncio.create_task(scheduler.wait_until(now + SOON))
            await pass_time(SOON)
            await sooner
            assert not later.done()
            later.cancel()

    async def test_a_wait_may_be_given_up(self) -> None:
        async with self.scheduler() as (scheduler, clock, pass_time):
            given_up = asyncio.create_task(scheduler.wait_until(clock.now() + SOON))
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            await pass_time(SOON)
            await scheduler.wait_until(clock.now())


class IdConformance(ABC):
    """Ids grow, tokens cannot be told apart from noise, chance is a number from 0 to 1."""

    @abstractmethod
    def ids(self) -> IdSource:
        """Returns a source of ids. Called once for each test."""

    def test_ids_are_version_7_and_grow(self) -> None:
        source = self.ids()
        ids = [source.new_id() for _ in range(SAMPLES)]
        assert {new_id.version for new_id in ids} == {7}
        assert {new_id.variant for new_id in ids} == {RFC_4122}
        assert ids == sorted(set(ids))

    def test_tokens_are_version_4_and_never_the_same(self) -> None:
        source = self.ids()
        tokens = [source.new_token() for _ in range(SAMPLES)]
        assert {token.version for token in tokens} == {4}
        assert len(set(tokens)) == SAMPLES
        assert tokens != sorted(tokens)

    def test_chance_spreads_from_0_to_1(self) -> None:
        source = self.ids()
        chances = [source.chance() for _ in range(SAMPLES)]
        assert 0 <= min(chances) < 0.1
        assert 0.9 < max(chances) <= 1


class SinkConformance(ABC):
    """A sink says how many events it took."""

    @abstractmethod
    def sink(self) -> AbstractAsyncContextManager[EventSink]:
        """Yields a sink that is able to take events. Called once for each test."""

    async def test_a_sink_takes_events_and_says_how_many(self) -> None:
        events = _story(3)
        async with self.sink() as sink:
            assert await sink.emit(SOURCE, events) == len(events)

    async def test_a_sink_says_how_long_it_may_take(self) -> None:
        async with self.sink() as sink:
            assert sink.time_limit > timedelta(0)

    async def test_an_event_may_come_again(self) -> None:
        [event] = _story(1)
        async with self.sink() as sink:
            assert await sink.emit(SOURCE, [event]) == 1
            assert await sink.emit(SOURCE, [event]) == 1


def _story(length: int) -> list[EventRow]:
    """Consecutive events of one run."""
    return [EventRow(RUN, sequence, "stage:progress", b"{}", EPOCH, RUN) for sequence in range(1, length + 1)]
