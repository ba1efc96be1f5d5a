"""What comes of whole runs: the kernel over the adapter, in the cases where the store has its share."""

from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from stageline_engine.commands import Disposition, JobOffer, Returned, TransitionRun
from stageline_engine.decide.stale import WORKER_LOST
from stageline_engine.limits import DELIVERIES_PER_ATTEMPT_MAX, SESSION_TIMEOUT
from stageline_engine.model.run import RunError, RunState
from stageline_engine.model.stage import StageState
from stageline_engine.records import ChangeSet
from stageline_engine.testing.conformance.base import Conformance, load
from stageline_engine.testing.scene import SERVER, Scene, completed, failed


class FlowConformance(Conformance):
    """Runs go through their groups, survive their workers, and end with the same story on every adapter."""

    async def test_a_run_goes_through_its_groups(self) -> None:
        async with self.scene_with_run("a", ["b", "c"], "d") as (scene, registered, run_id):
            session_id = await scene.open_session()
            seen = {}
            while offers := await scene.lease(session_id, registered):
                for offer in offers:
                    seen[offer.stage_id] = (offer.input_stage_ids, offer.run_input, dict(offer.outputs))
                    await scene.report(offer, completed(offer.stage_id))
            assert seen == {
                "a": ((), "{}", {}),
                "b": (("a",), None, {"a": '"a"'}),
                "c": (("a",), None, {"a": '"a"'}),
                "d": (("b", "c"), None, {"b": '"b"', "c": '"c"'}),
            }
            details = await scene.details(run_id)
            assert (details.run.state, details.run.open_stages) == (RunState.COMPLETED, 0)
            assert {entry.stage.state for entry in details.stages} == {StageState.COMPLETED}
            events = await scene.events(run_id)
            assert [event.sequence for event in events] == list(range(1, details.run.event_sequence + 1))

    async def test_reports_hand_the_next_job_over_in_the_same_transaction(self) -> None:
        async with self.scene_with_run("a", "b", "c") as (scene, registered, run_id):
            session_id = await scene.open_session()
            demand = scene.demand(session_id, registered)
            offers = list(await scene.lease(session_id, registered))
            stages = []
            while offers:
                offer = offers.pop()
                stages.append(offer.stage_id)
                dispatched = await scene.report_many((offer, completed(offer.stage_id)), demands=[demand])
                offers += dispatched.effects.offers
            assert stages == ["a", "b", "c"]
            assert (await scene.details(run_id)).run.state is RunState.COMPLETED

    async def test_handing_over_never_overtakes_a_more_urgent_job_that_waits(self) -> None:
        async with self.scene_with_run("a", "b") as (scene, registered, run_id):
            session_id = await scene.open_session()
            [offer] = await scene.lease(session_id, registered)
            urgent = await scene.create("flow", priority=100)
            demand = scene.demand(session_id, registered, slots=1)
            dispatched = await scene.report_many((offer, completed()), demands=[demand])
            assert dispatched.effects.offers == ()
            assert registered.route_ids[1] in dispatched.effects.ready_routes
            leased = [offer.lease.run_id for offer in await scene.lease(session_id, registered)]
            assert leased == [urgent, run_id]

    async def test_a_failed_try_waits_and_comes_again(self) -> None:
        async with self.scene_with_run() as (scene, registered, run_id):
            session_id = await scene.open_session()
            [offer] = await scene.lease(session_id, registered)
            await scene.report(offer, failed(retry_after=timedelta(seconds=5)))
            assert await scene.lease(session_id, registered) == ()
            scene.clock.advance(timedelta(seconds=5))
            assert (await scene.promote()).promoted == 1
            [again] = await scene.lease(session_id, registered)
            assert (again.attempt, again.delivery) == (2, 1)
            await scene.report(again, completed())
            assert (await scene.details(run_id)).run.state is RunState.COMPLETED

    async def test_the_last_failure_ends_the_run_when_its_group_has_ended(self) -> None:
        async with self.scene_with_run(["a", "b"], "c") as (scene, registered, run_id):
            first, second = await scene.lease(await scene.open_session(), registered)
            await scene.report(first, failed("KeyError", "ключ", retryable=False))
            assert (await scene.details(run_id)).run.state is RunState.RUNNING
            await scene.report(second, completed())
            details = await scene.details(run_id)
            assert details.run.state is RunState.FAILED
            assert details.run.error == RunError("KeyError", "ключ", "a")
            assert [entry.stage.stage_id for entry in details.stages] == ["a", "b"]

    async def test_a_cancelled_run_has_nothing_open_and_its_reports_are_ghosts(self) -> None:
        async with self.scene_with_run(["a", "b"]) as (scene, registered, run_id):
            session_id = await scene.open_session()
            [leased] = await scene.lease(session_id, registered, slots=1)
            await scene.cancel(run_id, "enough")
            after = await scene.details(run_id), await scene.events(run_id)
            assert {entry.stage.state for entry in after[0].stages} == {StageState.CANCELLED}
            assert (await scene.report(leased, completed())).disposition is Disposition.RUN_ENDED
            assert await scene.lease(session_id, registered) == ()
            assert (await scene.details(run_id), await scene.events(run_id)) == after

    async def test_the_job_of_a_dead_session_goes_to_another(self) -> None:
        async with self.scene_with_run() as (scene, registered, run_id):
            dead = await scene.open_session()
            [lost] = await scene.lease(dead, registered)
            scene.clock.advance(SESSION_TIMEOUT)
            living = await scene.open_session()
            reaped = await scene.reap()
            assert (list(reaped.sessions), reaped.requeued, reaped.poisoned) == ([dead], 1, 0)
            [again] = await scene.lease(living, registered)
            assert (again.attempt, again.delivery) == (1, 2)
            assert again.lease.lease_token != lost.lease.lease_token
            assert (await scene.report(lost, completed("late"))).disposition is Disposition.SUPERSEDED
            await scene.report(again, completed("good"))
            assert dict(await scene.backend.queries.read_outputs("default", run_id, [1])) == {1: '"good"'}

    async def test_a_job_that_outlives_no_worker_is_given_up(self) -> None:
        async with self.scene_with_run() as (scene, registered, run_id):
            lost: list[JobOffer] = []
            poisoned = []
            for _ in range(DELIVERIES_PER_ATTEMPT_MAX):
                lost += await scene.lease(await scene.open_session(), registered)
                scene.clock.advance(SESSION_TIMEOUT)
                poisoned.append((await scene.reap()).poisoned)
            assert poisoned == [0] * (DELIVERIES_PER_ATTEMPT_MAX - 1) + [1]
            run = (await scene.details(run_id)).run
            assert run.state is RunState.FAILED
            assert run.error is not None
            assert run.error.code == WORKER_LOST
            assert len(lost) == DELIVERIES_PER_ATTEMPT_MAX
            assert (await scene.report(lost[-1], completed())).disposition is Disposition.RUN_ENDED

    async def test_a_job_that_never_arrived_costs_nothing(self) -> None:
        async with self.scene_with_run() as (scene, registered, run_id):
            session_id = await scene.open_session()
            for _ in range(DELIVERIES_PER_ATTEMPT_MAX + 2):
                [offer] = await scene.lease(session_id, registered)
                assert (offer.attempt, offer.delivery) == (1, 1)
                await scene.report(offer, Returned(started=False))
            [stage] = (await scene.details(run_id)).stages
            assert (stage.stage.attempt, stage.stage.delivery) == (0, 0)

    async def test_a_job_leased_to_a_session_at_its_end_is_found(self) -> None:
        async with self.scene_with_run() as (scene, registered, _):
            session_id = await scene.open_session()
            assert await scene.backend.sessions.end(session_id, SERVER, scene.clock.now(), "DRAINED")
            assert len(await scene.lease(session_id, registered)) == 1
            reaped = await scene.reap()
            assert (list(reaped.sessions), reaped.requeued) == ([session_id], 1)
            assert (await scene.reap()).sessions == ()

    async def test_a_repair_leaves_a_healthy_run_alone(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            before = await scene.details(run_id)
            answer = await scene.kernel.dispatch(TransitionRun(run_id))
            assert getattr(answer, "action", "") == "noop"
            assert await scene.details(run_id) == before

    async def test_a_repair_finishes_what_was_left_half_done(self) -> None:
        async with self.scene_with_run("a", "b") as (scene, registered, run_id):
            [offer] = await scene.lease(await scene.open_session(), registered)
            await self._end_stage_only(scene, offer.lease.run_id)
            answer = await scene.kernel.dispatch(TransitionRun(run_id))
            assert getattr(answer, "action", "") == "advanced"
            assert [entry.stage.stage_id for entry in (await scene.details(run_id)).stages] == ["a", "b"]

    async def _end_stage_only(self, scene: Scene, run_id: UUID) -> None:
        """Ends the run's only stage behind the kernel's back, as a bug or a hand on the tables might."""
        async with scene.backend.persistence.begin() as work:
            before = await load(work, run_id)
            ended = replace(before.stages[0], state=StageState.COMPLETED, ended_at=scene.clock.now())
            run = replace(before.run, open_stages=0)
            await work.commit(
                ChangeSet(runs_updated=[run], stages_updated=[ended], jobs_deleted=list(before.jobs))
            )
