"""Sessions are kept alive before dead ones are given up, and a silent one is given up at once."""

import time
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from stageline_engine import limits
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.model.session import SessionRow
from stageline_engine.testing.clock import VirtualClock
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.dispatch.sessions import LocalSession
from stageline_server.stores import memory_ports
from tests.support.faults import FaultyPersistence
from tests.unit.server.dispatch.outlets import CollectingOutlet


class Scene:
    """A plane that is not started: the test takes its housekeeping's steps one by one."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        ports = memory_ports()
        self.faults = FaultyPersistence(ports.persistence)
        self.ports = replace(ports, clock=self.clock, persistence=self.faults)
        self.plane = ControlPlane(self.ports, server_id="mine")
        self.housekeeping = self.plane.housekeeping

    async def session(self, server_id: str) -> UUID:
        """A session of a server, as the database knows it."""
        now, session_id = self.clock.now(), uuid4()
        await self.ports.sessions.open(
            SessionRow(session_id, "default", "w", server_id, 1, "test", now, now + limits.SESSION_TIMEOUT)
        )
        return session_id

    async def local(self) -> LocalSession:
        """A session of this server, just heard of."""
        local = LocalSession(await self.session("mine"), "default", (1,), 1, CollectingOutlet())
        local.last_heard = time.monotonic()
        self.plane.sessions.add(local)
        return local

    async def living(self) -> set[UUID]:
        return {row.id for row in await self.ports.sessions.list("default", limit=100)}


def closed(session: LocalSession) -> list[str]:
    assert isinstance(session.outlet, CollectingOutlet)
    return session.outlet.closed


async def test_after_an_outage_sessions_are_renewed_before_others_are_given_up() -> None:
    scene = Scene()
    mine, others = await scene.local(), await scene.session("another")
    scene.clock.advance(timedelta(hours=1))
    await scene.housekeeping._keep_alive()
    assert await scene.living() == {mine.id, others}
    await scene.housekeeping._keep_alive()
    assert await scene.living() == {mine.id}
    assert closed(mine) == []


async def test_a_failure_begins_the_count_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    mine = await scene.local()
    await scene.housekeeping._keep_alive()
    await scene.housekeeping._keep_alive()
    renew = scene.ports.sessions.renew

    async def away(*_: object) -> frozenset[UUID]:
        raise StorageUnavailableError("away")

    monkeypatch.setattr(scene.ports.sessions, "renew", away)
    with pytest.raises(StorageUnavailableError):
        await scene.housekeeping._keep_alive()
    monkeypatch.setattr(scene.ports.sessions, "renew", renew)
    others = await scene.session("another")
    scene.clock.advance(timedelta(hours=1))
    await scene.housekeeping._keep_alive()
    assert await scene.living() == {mine.id, others}


async def test_a_session_that_moved_or_ended_loses_its_stream() -> None:
    scene = Scene()
    stays, moved, ended = [await scene.local() for _ in range(3)]
    now = scene.clock.now()
    assert await scene.ports.sessions.resume(moved.id, "default", "another", now, now + timedelta(hours=1))
    assert await scene.ports.sessions.end(ended.id, "mine", now, "DRAINED")
    await scene.housekeeping._keep_alive()
    assert (closed(stays), closed(moved), closed(ended)) == ([], ["SESSION_NOT_FOUND"], ["SESSION_NOT_FOUND"])


async def test_a_session_that_was_not_heard_of_is_not_renewed() -> None:
    scene = Scene()
    silent = await scene.local()
    silent.last_heard = time.monotonic() - limits.SESSION_TIMEOUT.total_seconds() - 1
    scene.clock.advance(limits.SESSION_TIMEOUT)
    await scene.housekeeping._keep_alive()
    await scene.housekeeping._keep_alive()
    assert await scene.living() == set()


async def test_a_renewal_outlasts_the_timeout() -> None:
    scene = Scene()
    mine = await scene.local()
    await scene.housekeeping._renew()
    scene.clock.advance(limits.SESSION_TIMEOUT)
    await scene.housekeeping.reap()
    assert await scene.living() == {mine.id}


async def test_a_silent_session_is_given_up_at_once_unless_it_moved() -> None:
    scene = Scene()
    silent, moved = await scene.local(), await scene.local()
    now = scene.clock.now()
    await scene.ports.sessions.resume(moved.id, "default", "another", now, now + timedelta(hours=1))
    await scene.plane.housekeeping.give_up(silent)
    await scene.plane.housekeeping.give_up(moved)
    assert await scene.living() == {moved.id}


async def test_giving_up_waits_for_no_database(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    silent = await scene.local()
    scene.faults.down = True
    await scene.plane.housekeeping.give_up(silent)
    assert "could not be given up" in caplog.text
