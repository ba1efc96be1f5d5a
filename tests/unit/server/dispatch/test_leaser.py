"""Jobs find free slots: woken by hints, never asleep while both wait, silent when there is nothing to do."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from stageline_engine.commands import LeasedJobs
from stageline_engine.errors import StorageUnavailableError
from stageline_server.dispatch.leaser import Leaser
from stageline_server.dispatch.sessions import LocalSession, Reservation, SessionTable
from tests.unit.server.dispatch.outlets import CollectingOutlet, offer_to, session
from tests.waiting import eventually


class Queue:
    """Ready jobs by route, leased as the kernel does: for each set of routes in turn.

    Attributes:
        ready: How many jobs wait.
        calls: How often it was asked.
        before: Called at the beginning of each lease; may raise.
        contended: Leases to come that pass over everything.
    """

    def __init__(self, **ready: int) -> None:
        self.ready = Counter({int(name.removeprefix("r")): count for name, count in ready.items()})
        self.calls = 0
        self.before: Callable[[], None] = lambda: None
        self.contended = 0

    async def lease(self, reservation: Reservation) -> LeasedJobs:
        try:
            self.calls += 1
            self.before()
            if self.contended:
                self.contended -= 1
                return LeasedJobs(0, contended=True)
            await asyncio.sleep(0)
            return LeasedJobs(
                sum(self._serve(reservation, index) for index in range(len(reservation.demands))), False
            )
        finally:
            reservation.release()

    def _serve(self, reservation: Reservation, index: int) -> int:
        demand = reservation.demands[index]
        holder = reservation.sessions[demand.session_id]
        leased = 0
        for route_id in demand.route_ids:
            while self.ready[route_id] and leased < demand.slots:
                self.ready[route_id] -= 1
                leased += 1
                holder.hold(offer_to(holder))
                holder.outlet.send_offer(offer_to(holder))
        return leased


@asynccontextmanager
async def leasing(
    queue: Queue, *sessions: LocalSession, promised: Callable[[], int] = lambda: 0
) -> AsyncIterator[Leaser]:
    table = SessionTable()
    for each in sessions:
        table.add(each)
    leaser = Leaser(table, queue.lease, batch_max=100, promised=promised)
    leaser.start()
    yield leaser
    await leaser.stop()


def given(holder: LocalSession) -> int:
    assert isinstance(holder.outlet, CollectingOutlet)
    return len(holder.outlet.offers)


async def until(condition: Callable[[], bool]) -> None:
    async def probe() -> bool:
        return condition()

    await eventually(probe)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_hint_brings_jobs_and_then_there_is_silence() -> None:
    queue, holder = Queue(r1=3), session(1)
    async with leasing(queue, holder) as leaser:
        leaser.jobs_may_wait([1])
        await until(lambda: given(holder) == 3)
        await settle()
        calls = queue.calls
        leaser.slots_freed()
        await settle()
        assert queue.calls == calls


async def test_nothing_is_asked_for_what_nobody_runs() -> None:
    queue = Queue(r2=3)
    async with leasing(queue, session(1), session(2, free=0)) as leaser:
        leaser.jobs_may_wait([2, 3])
        await settle()
        assert queue.calls == 0


async def test_slots_that_come_free_are_filled() -> None:
    queue, holder = Queue(r1=5), session(1, slots=2)
    async with leasing(queue, holder) as leaser:
        leaser.jobs_may_wait([1])
        for served in (2, 4, 5):
            await until(lambda served=served: given(holder) == served)  # type: ignore[misc]
            holder.set_credit(2, 0)
            leaser.slots_freed()


async def test_promised_slots_are_left_alone_until_they_are_given_back() -> None:
    queue, holder, promised = Queue(r1=5), session(1, slots=3), Counter(slots=2)
    async with leasing(queue, holder, promised=lambda: promised["slots"]) as leaser:
        leaser.jobs_may_wait([1])
        await until(lambda: given(holder) == 1)
        await settle()
        assert given(holder) == 1
        promised.clear()
        leaser.slots_freed()
        await until(lambda: given(holder) == 3)


async def test_a_route_stays_hot_while_another_has_slots_for_nothing() -> None:
    """Fewer jobs than slots in all does not mean that nothing waits for the session that is full."""
    queue, busy, idle = Queue(r1=3), session(1, slots=1), session(2, slots=50)
    async with leasing(queue, busy, idle) as leaser:
        leaser.jobs_may_wait([1, 2])
        for served in (1, 2, 3):
            await until(lambda served=served: given(busy) == served)  # type: ignore[misc]
            await settle()
            busy.set_credit(1, 0)
            leaser.slots_freed()


async def test_a_hint_that_comes_during_a_lease_is_not_lost() -> None:
    queue, holder = Queue(), session(1)
    async with leasing(queue, holder) as leaser:

        def job_after_the_look() -> None:
            queue.before = lambda: None
            asyncio.get_running_loop().call_soon(arrive)

        def arrive() -> None:
            asyncio.get_running_loop().call_soon(queue.ready.update, {1: 1})
            leaser.jobs_may_wait([1])

        queue.before = job_after_the_look
        leaser.jobs_may_wait([1])
        await until(lambda: given(holder) == 1)


async def test_jobs_that_were_locked_are_asked_for_again() -> None:
    queue, holder = Queue(r1=1), session(1)
    queue.contended = 2
    async with leasing(queue, holder) as leaser:
        leaser.jobs_may_wait([1])
        await until(lambda: given(holder) == 1)
    assert queue.calls >= 3


async def test_it_goes_on_after_a_failure_of_any_kind() -> None:
    for error in (StorageUnavailableError("away"), KeyError("a bug")):
        queue, holder = Queue(r1=1), session(1)

        def fail(queue: Queue = queue, error: Exception = error) -> None:
            queue.before = lambda: None
            raise error

        queue.before = fail
        async with leasing(queue, holder) as leaser:
            leaser.jobs_may_wait([1])
            await until(lambda holder=holder: given(holder) == 1)  # type: ignore[misc]
            assert holder.free_slots == holder.slots - 1
