"""What a UnitOfWork must do with the queue: claim in order, pass over what is locked, promote what is due."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from stageline_engine.limits import SESSION_TIMEOUT
from stageline_engine.model.job import JobState
from stageline_engine.ports import UnitOfWork
from stageline_engine.records import ChangeSet
from stageline_engine.testing.conformance.base import Conformance, load
from stageline_engine.testing.definitions import workflow
from stageline_engine.testing.scene import Scene, completed, failed


async def claimed_runs(work: UnitOfWork, routes: tuple[int, ...], limit: int = 100) -> list[object]:
    """The (run id, stage number) of each claimed job, in order."""
    claim = await work.claim_jobs(routes, limit)
    return [(claimed.run.id, claimed.job.stage_number) for claimed in claim.jobs]


class QueueConformance(Conformance):
    """The total order is: higher priority, older run, earlier stage."""

    async def test_claims_come_in_total_order(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("flow", ["a", "b"]))
            low = await scene.create("flow", priority=0)
            middle = await scene.create("flow")
            high = await scene.create("flow", priority=100)
            late = await scene.create("flow")
            expected = [(run_id, number) for run_id in (high, middle, late, low) for number in (1, 2)]
            async with scene.backend.persistence.begin() as work:
                assert await claimed_runs(work, registered.route_ids) == expected
            async with scene.backend.persistence.begin() as work:
                assert await claimed_runs(work, registered.route_ids, 3) == expected[:3]

    async def test_a_claim_is_of_its_routes_only_and_carries_run_and_stage(self) -> None:
        async with self.scene_with_run(["a", "b"]) as (scene, registered, run_id):
            details = await scene.details(run_id)
            async with scene.backend.persistence.begin() as work:
                claim = await work.claim_jobs(registered.route_ids[1:], 10)
                assert not claim.contended
                [claimed] = claim.jobs
                assert claimed.run == details.run
                assert claimed.stage == details.stages[1].stage
                assert (claimed.job.run_id, claimed.job.stage_number) == (run_id, 2)
                assert (claimed.job.state, claimed.job.available_at) == (JobState.READY, scene.clock.now())
                empty = await work.claim_jobs((2**31 - 1,), 10)
                assert (list(empty.jobs), empty.contended) == ([], False)

    async def test_leased_and_delayed_jobs_are_not_claimed(self) -> None:
        async with self.scene_with_run(["a", "b", "c"]) as (scene, registered, run_id):
            first, _second = await scene.lease(await scene.open_session(), registered, slots=2)
            await scene.report(first, failed())
            async with scene.backend.persistence.begin() as work:
                assert await claimed_runs(work, registered.route_ids) == [(run_id, 3)]

    async def test_runs_that_another_holds_are_passed_over_and_told(self) -> None:
        async with self.scene_with_run(["a", "b"]) as (scene, registered, first):
            second, persistence = await scene.create("flow"), scene.backend.persistence
            async with persistence.begin() as holder, persistence.begin() as claimer:
                await load(holder, first)
                claim = await claimer.claim_jobs(registered.route_ids, 10)
                assert {claimed.run.id for claimed in claim.jobs} == {second}
                assert len(claim.jobs) == 2
                assert claim.contended

    async def test_what_one_has_claimed_another_passes_over(self) -> None:
        async with self.scene_with_run() as (scene, registered, first):
            second, persistence = await scene.create("flow"), scene.backend.persistence
            async with persistence.begin() as one, persistence.begin() as other:
                assert await claimed_runs(one, registered.route_ids, 1) == [(first, 1)]
                assert await claimed_runs(other, registered.route_ids, 1) == [(second, 1)]

    async def test_a_transaction_may_claim_again_what_it_holds(self) -> None:
        async with (
            self.scene_with_run() as (scene, registered, run_id),
            scene.backend.persistence.begin() as work,
        ):
            assert await claimed_runs(work, registered.route_ids) == [(run_id, 1)]
            assert await claimed_runs(work, registered.route_ids) == [(run_id, 1)]

    async def test_heads_are_the_most_urgent_of_each_route_and_lock_nothing(self) -> None:
        async with self.scene_with_run(["a", "b"]) as (scene, registered, old):
            urgent, (first, second) = await scene.create("flow", priority=9), registered.route_ids
            await scene.lease(await scene.open_session(), replace(registered, route_ids=(first,)), slots=1)
            persistence = scene.backend.persistence
            async with persistence.begin() as holder, persistence.begin() as work:
                await load(holder, urgent)
                expected = {first: (-5, old, 1), second: (-9, urgent, 2)}
                assert dict(await work.queue_heads([first, second, 2**31 - 1])) == expected
                many_unused = range(2**31 - 100, 2**31)
                assert dict(await work.queue_heads([*many_unused, second, first])) == expected
                assert dict(await work.queue_heads([second, *many_unused])) == {second: expected[second]}
                assert await work.queue_heads([]) == {}

    async def test_promotion_makes_due_jobs_ready_and_tells_when_the_next_is(self) -> None:
        async with self.scene() as scene:
            routes, first, second = await _two_delayed(scene)
            now = scene.clock.advance(timedelta(seconds=1))
            async with scene.backend.persistence.begin() as work:
                assert await work.promote_jobs(now, 10) == ([], now + timedelta(seconds=9))
                await work.commit(ChangeSet())
            now = scene.clock.advance(timedelta(seconds=9))
            async with scene.backend.persistence.begin() as work:
                promoted, next_available_at = await work.promote_jobs(now, 10)
                assert list(promoted) == [routes[0]]
                assert next_available_at == now + timedelta(seconds=10)
                await work.commit(ChangeSet())
            async with scene.backend.persistence.begin() as work:
                [ready] = (await load(work, first)).jobs
                [delayed] = (await load(work, second)).jobs
                assert (ready.state, ready.version) == (JobState.READY, 4)
                assert (delayed.state, delayed.version) == (JobState.DELAYED, 3)

    async def test_promotion_stops_at_its_limit_the_earliest_first(self) -> None:
        async with self.scene() as scene:
            routes, _, second = await _two_delayed(scene)
            due = scene.clock.now() + timedelta(seconds=20)
            now = scene.clock.advance(timedelta(minutes=1))
            async with scene.backend.persistence.begin() as work:
                assert await work.promote_jobs(now, 1) == ([routes[0]], due)
                assert await work.promote_jobs(now, 1) == ([routes[1]], None)
                await work.commit(ChangeSet())
            assert (await scene.promote()).promoted == 0
            async with scene.backend.persistence.begin() as work:
                assert await claimed_runs(work, routes[1:]) == [(second, 1)]

    async def test_a_promotion_that_is_rolled_back_did_not_happen(self) -> None:
        async with self.scene() as scene:
            routes, _, _ = await _two_delayed(scene)
            now = scene.clock.advance(timedelta(minutes=1))
            async with scene.backend.persistence.begin() as work:
                assert len((await work.promote_jobs(now, 10))[0]) == 2
            async with scene.backend.persistence.begin() as work:
                assert await claimed_runs(work, routes) == []

    async def test_sessions_expire_at_their_time(self) -> None:
        async with self.scene() as scene:
            session_id = await scene.open_session()
            at = scene.clock.now() + SESSION_TIMEOUT
            async with scene.backend.persistence.begin() as work:
                assert list(await work.expire_sessions(at - timedelta(microseconds=1), 10)) == []
                assert list(await work.expire_sessions(at, 10)) == [session_id]
                await work.commit(ChangeSet())
            async with scene.backend.persistence.begin() as work:
                assert list(await work.expire_sessions(at, 10)) == []

    async def test_expiry_stops_at_its_limit_and_passes_over_what_is_locked(self) -> None:
        async with self.scene() as scene:
            persistence, opened = scene.backend.persistence, []
            for _ in range(3):
                opened.append(await scene.open_session())
                scene.clock.advance(timedelta(seconds=1))
            now = scene.clock.advance(SESSION_TIMEOUT)
            async with persistence.begin() as one, persistence.begin() as other:
                assert list(await one.expire_sessions(now, 1)) == opened[:1]
                assert set(await other.expire_sessions(now, 10)) == set(opened[1:])

    async def test_jobs_of_sessions_are_those_that_they_hold(self) -> None:
        async with self.scene_with_run(["a", "b", "c"]) as (scene, registered, run_id):
            mine, yours = await scene.open_session(), await scene.open_session()
            done, *_ = await scene.lease(mine, registered, slots=2)
            await scene.lease(yours, registered)
            await scene.report(done, completed())
            async with scene.backend.persistence.begin() as work:
                assert [tuple(key) for key in await work.jobs_of_sessions([mine])] == [(run_id, 2)]
                held = {tuple(key) for key in await work.jobs_of_sessions([mine, yours])}
                assert held == {(run_id, 2), (run_id, 3)}
                assert list(await work.jobs_of_sessions([scene.ids.new_id()])) == []


async def _two_delayed(scene: Scene) -> tuple[tuple[int, int], UUID, UUID]:
    """Two runs whose only jobs wait 10 and 20 seconds; returns the routes and the runs."""
    first = await scene.register(workflow("first", "a"))
    second = await scene.register(workflow("second", "a"))
    run_ids = []
    session_id = await scene.open_session()
    for registered, seconds in ((first, 10), (second, 20)):
        run_ids.append(await scene.create(registered.definition.name))
        [offer] = await scene.lease(session_id, registered)
        await scene.report(offer, failed(retry_after=timedelta(seconds=seconds)))
    return (first.route_ids[0], second.route_ids[0]), run_ids[0], run_ids[1]
