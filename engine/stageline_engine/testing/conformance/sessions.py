"""What a SessionStore must do."""

from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from stageline_engine.commands import HistoryPurged, PurgeHistory, StaleLeasesReaped
from stageline_engine.limits import SESSION_TIMEOUT
from stageline_engine.model.session import SessionRow, SessionStages, WorkerKind
from stageline_engine.ports import Disconnect
from stageline_engine.records import ChangeSet
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.expectations import waits_until_released
from stageline_engine.testing.scene import SERVER, Scene, completed


async def find(scene: Scene, session_id: UUID) -> SessionRow:
    """Reads one session, ended or not."""
    sessions = await scene.backend.sessions.list(scene.namespace, include_ended=True, limit=100)
    return next(session for session in sessions if session.id == session_id)


class SessionConformance(Conformance):
    """An ended session never lives again, and only the server that has its stream may speak for it."""

    async def test_a_session_comes_back_as_it_was_opened(self) -> None:
        async with self.scene() as scene:
            now = scene.clock.now()
            session = SessionRow(
                scene.ids.new_id(),
                "default",
                "höst.1",
                SERVER,
                8,
                "py/1",
                now,
                now + SESSION_TIMEOUT,
                {"k": "v"},
                stages=(SessionStages("flow", 2, ("a", "b")), SessionStages("other", 1)),
            )
            await scene.backend.sessions.open(session)
            assert list(await scene.backend.sessions.list("default", limit=10)) == [session]

    async def test_list_gives_the_newest_first_and_the_living_only(self) -> None:
        async with self.scene() as scene:
            sessions = scene.backend.sessions
            first, second, third = [await scene.open_session() for _ in range(3)]
            assert await sessions.end(second, SERVER, scene.clock.now(), "DRAINED")
            living = await sessions.list("default", limit=10)
            assert [session.id for session in living] == [third, first]
            everyone = await sessions.list("default", include_ended=True, limit=2)
            assert [session.id for session in everyone] == [third, second]
            assert list(await sessions.list("another", include_ended=True, limit=10)) == []

    async def test_renew_extends_the_living_of_this_server(self) -> None:
        async with self.scene() as scene:
            sessions = scene.backend.sessions
            living, ended, moved = [await scene.open_session() for _ in range(3)]
            now = scene.clock.now()
            assert await sessions.end(ended, SERVER, now, "DRAINED")
            assert await sessions.resume(moved, "default", "server-2", now, now + SESSION_TIMEOUT)
            later = now + timedelta(hours=1)
            unknown = scene.ids.new_id()
            assert await sessions.renew([living, ended, moved, unknown], SERVER, later) == {living}
            assert (await find(scene, living)).expires_at == later
            assert (await find(scene, moved)).expires_at == now + SESSION_TIMEOUT
            assert await sessions.renew([], SERVER, later) == frozenset()

    async def test_resume_binds_a_living_session_to_a_new_stream(self) -> None:
        async with self.scene() as scene:
            session_id = await scene.open_session()
            before, now = await find(scene, session_id), scene.clock.advance(timedelta(seconds=3))
            resumed = await scene.backend.sessions.resume(
                session_id, "default", "server-2", now, now + SESSION_TIMEOUT
            )
            assert resumed
            expected = replace(
                before, server_id="server-2", connected_at=now, expires_at=now + SESSION_TIMEOUT
            )
            assert await find(scene, session_id) == expected

    async def test_resume_refuses_the_ended_the_foreign_and_the_unknown(self) -> None:
        async with self.scene() as scene:
            sessions, now = scene.backend.sessions, scene.clock.now()
            session_id = await scene.open_session()
            later = now + timedelta(hours=1)
            assert not await sessions.resume(session_id, "another", SERVER, now, later)
            assert not await sessions.resume(scene.ids.new_id(), "default", SERVER, now, later)
            assert await sessions.end(session_id, SERVER, now, "DRAINED")
            assert not await sessions.resume(session_id, "default", SERVER, now, later)
            assert (await find(scene, session_id)).expires_at == now + SESSION_TIMEOUT

    async def test_end_keeps_the_first_reason(self) -> None:
        async with self.scene() as scene:
            sessions, now = scene.backend.sessions, scene.clock.now()
            session_id = await scene.open_session()
            assert not await sessions.end(session_id, "server-2", now, "DRAINED")
            assert await sessions.end(session_id, SERVER, now, "DRAINED")
            assert not await sessions.end(session_id, SERVER, now + timedelta(hours=1), "INTERNAL")
            ended = await find(scene, session_id)
            assert (ended.ended_at, ended.end_reason) == (now, "DRAINED")

    async def test_end_refuses_a_session_that_holds_a_job(self) -> None:
        async with self.scene_with_run() as (scene, registered, _):
            session_id = await scene.open_session()
            [offer] = await scene.lease(session_id, registered)
            sessions, now = scene.backend.sessions, scene.clock.now()
            assert not await sessions.end(session_id, SERVER, now, "DRAINED")
            await scene.report(offer, completed())
            assert await sessions.end(session_id, SERVER, now, "DRAINED")

    async def test_held_leases_are_those_of_the_session(self) -> None:
        async with self.scene_with_run(["a", "b", "c"]) as (scene, registered, run_id):
            mine, yours = await scene.open_session(), await scene.open_session()
            first, second = await scene.lease(mine, registered, slots=2)
            [third] = await scene.lease(yours, registered)
            held = await scene.backend.sessions.held_leases(mine)
            assert {tuple(lease) for lease in held} == {
                (run_id, offer.lease.stage_number, offer.lease.lease_token, 1, 1) for offer in (first, second)
            }
            await scene.report(third, completed())
            assert list(await scene.backend.sessions.held_leases(yours)) == []

    async def test_renew_waits_for_a_reaper_and_finds_the_session_ended(self) -> None:
        async with self.scene() as scene:
            session_id = await scene.open_session()
            now = scene.clock.advance(SESSION_TIMEOUT)
            async with scene.backend.persistence.begin() as work:
                assert list(await work.expire_sessions(now, 10)) == [session_id]
                renewal = await waits_until_released(scene.renew(session_id))
                await work.commit(ChangeSet())
            assert await renewal == frozenset()
            ended = await find(scene, session_id)
            assert (ended.ended_at, ended.end_reason) == (now, "TIMED_OUT")

    async def test_the_limit_takes_living_sessions_first_and_then_ended_ones_that_hold_jobs(self) -> None:
        async with self.scene_with_run() as (scene, registered, _):
            ended = await scene.open_session()
            await scene.backend.sessions.end(ended, SERVER, scene.clock.now(), "DRAINED")
            await scene.lease(ended, registered)
            scene.clock.advance(timedelta(seconds=1))
            living = await scene.open_session()
            now = scene.clock.advance(SESSION_TIMEOUT)
            for limit, expected in ((1, [living]), (2, [ended, living])):
                async with scene.backend.persistence.begin() as work:
                    assert list(await work.expire_sessions(now, limit)) == expected

    async def test_a_job_that_was_leased_to_a_session_already_purged_is_handed_on(self) -> None:
        async with self.scene_with_run() as (scene, registered, run_id):
            session_id = await scene.open_session()
            await scene.backend.sessions.end(session_id, SERVER, scene.clock.now(), "DRAINED")
            scene.clock.advance(timedelta(seconds=1))
            purged = await scene.kernel.dispatch(PurgeHistory(sessions=timedelta(0)))
            assert purged == HistoryPurged(sessions=1)
            assert len(await scene.lease(session_id, registered)) == 1
            assert await scene.reap() == StaleLeasesReaped((session_id,), requeued=1)
            assert await scene.reap() == StaleLeasesReaped()
            [offer] = await scene.lease(await scene.open_session(), registered)
            assert (offer.lease.run_id, offer.delivery) == (run_id, 2)

    async def test_the_end_of_a_stream_is_noted_until_the_session_has_another(self) -> None:
        async with self.scene() as scene:
            sessions, now = scene.backend.sessions, scene.clock.now()
            lost, moved, ended = [await scene.open_session() for _ in range(3)]
            assert await sessions.resume(moved, "default", "server-2", now, now + SESSION_TIMEOUT)
            assert await sessions.end(ended, SERVER, now, "DRAINED")
            notes = [Disconnect(each, "CONNECTION_LOST", now) for each in (lost, moved, ended)]
            await sessions.disconnected(SERVER, notes)
            noted = await find(scene, lost)
            assert (noted.disconnect_reason, noted.disconnected_at) == ("CONNECTION_LOST", now)
            assert {(await find(scene, each)).disconnect_reason for each in (moved, ended)} == {""}
            assert await sessions.resume(lost, "default", SERVER, now, now + SESSION_TIMEOUT)
            back = await find(scene, lost)
            assert (back.disconnect_reason, back.disconnected_at) == ("", None)

    async def test_living_sessions_that_say_the_same_are_counted_together(self) -> None:
        async with self.scene() as scene:
            stages, gpu = (
                (SessionStages("flow", 1, ("a",)), SessionStages("other", 2)),
                {"gpu": "a100", "zone": "eu"},
            )
            for slots in (2, 3):
                await scene.open_session(slots=slots, stages=stages, labels=gpu)
            plain = await scene.open_session(slots=4, stages=stages)
            await scene.within("another").open_session(slots=5, stages=stages)
            ended = await scene.open_session(slots=6)
            assert await scene.backend.sessions.end(ended, SERVER, scene.clock.now(), "DRAINED")
            kinds = sorted(await scene.backend.sessions.kinds("default"), key=lambda kind: kind.sessions)
            assert kinds == [WorkerKind(stages, {}, 1, 4), WorkerKind(stages, gpu, 2, 5)]
            assert await scene.backend.sessions.end(plain, SERVER, scene.clock.now(), "DRAINED")
            assert [kind.slots for kind in await scene.backend.sessions.kinds("default")] == [5]
            assert list(await scene.backend.sessions.kinds("nobody")) == []
