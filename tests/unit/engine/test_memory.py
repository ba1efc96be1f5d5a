"""What only the in-memory adapter has: its lock table, and hints that are merged."""

import asyncio
from datetime import timedelta

import pytest

from stageline_engine.adapters.memory.locks import LockTable
from stageline_engine.adapters.memory.transport import RUNS_NAMED_MAX, MemoryTransport, merged
from stageline_engine.commands import LeaseReference
from stageline_engine.ports import Hint
from stageline_engine.testing import SequentialIds, VirtualClock, waits_until_released
from stageline_engine.testing.clock import EPOCH

ONE, TWO, THREE = object(), object(), object()


async def test_a_lock_has_one_owner_who_may_take_it_again() -> None:
    locks = LockTable()
    assert locks.try_acquire("key", ONE)
    assert locks.try_acquire("key", ONE)
    assert not locks.try_acquire("key", TWO)
    assert locks.try_acquire("other", TWO)


async def test_only_the_owner_can_give_a_lock_back() -> None:
    locks = LockTable()
    await locks.acquire("key", ONE)
    locks.release("key", TWO)
    assert not locks.try_acquire("key", TWO)
    locks.release("key", ONE)
    assert locks.try_acquire("key", TWO)


async def test_who_waits_gets_the_lock_one_after_the_other() -> None:
    locks, order = LockTable(), []

    async def work(owner: object, name: str) -> None:
        await locks.acquire("key", owner)
        order.append(name)
        locks.release("key", owner)

    await locks.acquire("key", ONE)
    second = await waits_until_released(work(TWO, "two"))
    third = await waits_until_released(work(THREE, "three"))
    locks.release("key", ONE)
    await asyncio.gather(second, third)
    assert sorted(order) == ["three", "two"]
    assert locks.try_acquire("key", ONE)


async def test_one_who_gives_up_waiting_leaves_the_lock_to_the_others() -> None:
    locks = LockTable()
    await locks.acquire("key", ONE)
    impatient = await waits_until_released(locks.acquire("key", TWO))
    patient = await waits_until_released(locks.acquire("key", THREE))
    impatient.cancel()
    locks.release("key", ONE)
    await patient
    assert not locks.try_acquire("key", TWO)


def test_merged_hints_say_what_both_say() -> None:
    ids = SequentialIds()
    run, other = ids.new_id(), ids.new_id()
    stopped = LeaseReference(ids.new_id(), ids.new_token(), run, 1)
    first = Hint(routes=frozenset({1}), runs=frozenset({run}), stopped=(stopped,), wake_at=EPOCH)
    second = Hint(
        routes=frozenset({2}), runs=frozenset({other}), stopped=(stopped,), wake_at=EPOCH + timedelta(1)
    )
    both = Hint(frozenset({1, 2}), frozenset({run, other}), (stopped,), EPOCH)
    assert merged(first, second) == merged(second, first) == both
    assert merged(first, Hint(all_runs=True)).all_runs


def test_merged_hints_of_too_many_runs_are_hints_of_all() -> None:
    ids = SequentialIds()
    runs = frozenset(ids.new_id() for _ in range(RUNS_NAMED_MAX))
    assert merged(Hint(runs=runs), Hint()).runs == runs
    more = merged(Hint(runs=runs), Hint(runs=frozenset({ids.new_id()})))
    assert (more.all_runs, more.runs) == (True, frozenset())


async def test_a_listener_that_goes_away_is_forgotten() -> None:
    transport = MemoryTransport()
    stream = transport.listen()
    listening = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await transport.announce(Hint(routes=frozenset({1})))
    assert (await listening).routes == {1}
    await stream.aclose()  # type: ignore[attr-defined]
    assert transport._listeners == set()


def test_a_clock_only_advances_and_knows_its_zone() -> None:
    clock = VirtualClock()
    assert clock.advance(timedelta(seconds=1)) == clock.now() == EPOCH + timedelta(seconds=1)
    with pytest.raises(ValueError, match="goes back"):
        clock.advance(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="no time zone"):
        clock.set(EPOCH.replace(tzinfo=None))
