"""Leases that no worker was told of are found by two looks, and only those."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from stageline_engine.commands import LeaseReference
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.ports import HeldLease
from stageline_server.dispatch.lost_offers import LOOKS, LostOffers
from stageline_server.dispatch.sessions import LocalSession, SessionTable
from tests.unit.server.dispatch.outlets import session


class Sessions:
    """What a session store knows of each session's leases."""

    def __init__(self) -> None:
        self.leases: dict[UUID, list[HeldLease]] = {}
        self.asked: list[UUID] = []
        self.down = False

    async def held_leases(self, session_id: UUID) -> Sequence[HeldLease]:
        if self.down:
            raise StorageUnavailableError("away")
        self.asked.append(session_id)
        return self.leases.get(session_id, [])


class Scene:
    def __init__(self) -> None:
        self.store, self.table = Sessions(), SessionTable()
        self.session = session()
        self.table.add(self.session)
        self.taken: list[LeaseReference] = []
        self.lost = LostOffers(self.table, self.store.held_leases, self.take)

    def take(self, holder: LocalSession, lease: LeaseReference) -> None:
        assert holder is self.session
        self.taken.append(lease)
        self.store.leases[holder.id] = [
            each for each in self.store.leases[holder.id] if each[2] != lease.lease_token
        ]

    def lease(self, *, known: bool = False) -> LeaseReference:
        lease = LeaseReference(self.session.id, uuid4(), uuid4(), 3)
        self.store.leases.setdefault(self.session.id, []).append(
            HeldLease(lease.run_id, 3, lease.lease_token, 1, 1)
        )
        if known:
            self.session.keep(lease, 1, 1)
        return lease


async def test_nothing_is_asked_without_suspicion() -> None:
    scene = Scene()
    await scene.lost.look()
    assert scene.store.asked == []


async def test_a_lost_lease_is_taken_back_at_the_second_look_and_a_known_one_never() -> None:
    scene = Scene()
    lost, _known = scene.lease(), scene.lease(known=True)
    scene.lost.suspect([scene.session.id])
    await scene.lost.look()
    assert scene.taken == []
    await scene.lost.look()
    assert scene.taken == [lost]
    for _ in range(5):
        await scene.lost.look()
    assert scene.taken == [lost]
    assert len(scene.store.asked) == LOOKS


async def test_one_whose_effects_are_just_being_carried_out_is_left_alone() -> None:
    scene = Scene()
    late = scene.lease()
    scene.lost.suspect([scene.session.id])
    await scene.lost.look()
    scene.session.keep(late, 1, 1)
    for _ in range(LOOKS):
        await scene.lost.look()
    assert scene.taken == []


async def test_one_that_comes_with_the_last_look_is_followed() -> None:
    scene = Scene()
    scene.lost.suspect([scene.session.id])
    for _ in range(LOOKS - 1):
        await scene.lost.look()
    late = scene.lease()
    await scene.lost.look()
    await scene.lost.look()
    assert scene.taken == [late]


async def test_an_outage_ends_no_suspicion() -> None:
    scene = Scene()
    lost = scene.lease()
    scene.lost.suspect([scene.session.id])
    scene.store.down = True
    for _ in range(2 * LOOKS):
        with pytest.raises(StorageUnavailableError):
            await scene.lost.look()
    scene.store.down = False
    await scene.lost.look()
    await scene.lost.look()
    assert scene.taken == [lost]


async def test_a_session_that_has_left_is_forgotten() -> None:
    scene = Scene()
    scene.lost.suspect([scene.session.id, uuid4()])
    scene.lease()
    await scene.lost.look()
    scene.table.remove(scene.session)
    await scene.lost.look()
    assert scene.taken == []
    assert not scene.lost._looks
    assert not scene.lost._unknown
