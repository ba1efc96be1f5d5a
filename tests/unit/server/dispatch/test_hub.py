"""Watchers are woken by what concerns them, and leave nothing behind."""

import asyncio
from uuid import UUID, uuid4

from stageline_server.dispatch.hub import WatchHub


async def test_watchers_of_a_run_are_woken_and_no_others() -> None:
    hub, mine, other = WatchHub[UUID](), uuid4(), uuid4()
    with hub.watch(mine) as one, hub.watch(mine) as two, hub.watch(other) as three:
        hub.ring([mine, uuid4()])
        await one.changed()
        await two.changed()
        waiting = asyncio.create_task(three.changed())
        await asyncio.sleep(0)
        assert not waiting.done()
        hub.ring_all()
        await waiting


async def test_a_ring_before_the_wait_counts_once() -> None:
    hub, run_id = WatchHub[UUID](), uuid4()
    with hub.watch(run_id) as watch:
        hub.ring([run_id])
        hub.ring([run_id])
        await watch.changed()
        waiting = asyncio.create_task(watch.changed())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()


def test_nothing_is_left_of_a_watch() -> None:
    hub, run_id = WatchHub[UUID](), uuid4()
    with hub.watch(run_id), hub.watch(run_id):
        pass
    hub.ring([run_id])
    assert hub._watches == {}
