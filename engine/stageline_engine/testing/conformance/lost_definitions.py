"""What becomes of runs whose definition can no longer be had: each ends once, with an event, and holds nobody up."""

import dataclasses
from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from stageline_engine.commands import (
    AiCallRecorded,
    AnnotateRun,
    CancelRun,
    DeadlinesExpired,
    Disposition,
    ExpireDeadlines,
    JobOffer,
    JobReportRecorded,
    LeaseOnce,
    ReapStuckRuns,
    RerunRun,
    RunAnnotated,
    RunCancellation,
    RunTransition,
    StuckRunsReaped,
    TransitionRun,
)
from stageline_engine.decide.repair import DEFINITION_LOST
from stageline_engine.events import Annotation
from stageline_engine.limits import PAYLOAD_INLINE_BYTES_MAX, SESSION_TIMEOUT
from stageline_engine.model.run import RunState
from stageline_engine.ports import Persistence
from stageline_engine.records import ChangeSet, RunPayload
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.ai_calls import LedgerScene
from stageline_engine.testing.conformance.base import Conformance, load
from stageline_engine.testing.play import timed_stage
from stageline_engine.testing.scene import Scene, completed

ABSENT_VERSION = 99
MINUTE = timedelta(minutes=1)


async def orphan(scene: Scene, like: UUID) -> UUID:
    """Stores a copy of a run, more urgent than any other, that is pinned to a version that is not stored."""
    return await store_orphan(scene.backend.persistence, scene.ids.new_id(), like)


async def store_orphan(persistence: Persistence, run_id: UUID, like: UUID) -> UUID:
    """As ``orphan``, under a given id."""
    async with persistence.begin() as work:
        run, stages, jobs = await load(work, like)
        changes = ChangeSet(
            runs_inserted=[
                replace(
                    run, id=run_id, workflow_version=ABSENT_VERSION, priority=100, event_sequence=0, version=0
                )
            ],
            payloads=[RunPayload(run_id, "{}", "{}", {})],
            stages_inserted=[replace(stage, run_id=run_id, version=0) for stage in stages],
            jobs_inserted=[replace(job, run_id=run_id, priority=100, version=0) for job in jobs],
        )
        await work.commit(changes)
    return run_id


class LostDefinitionConformance(Conformance):
    """A run that can never go on is ended by whoever meets it."""

    async def ended(self, scene: Scene, run_id: UUID) -> None:
        """Checks that a run was given up: once, with events, and with nothing left of it that waits."""
        run = (await scene.details(run_id)).run
        assert (run.state, run.error.code if run.error else "", run.open_stages) == (
            RunState.FAILED,
            DEFINITION_LOST,
            0,
        )
        assert await scene.event_types(run_id) == ["stage:cancelled", "workflow:failed"]
        async with scene.backend.persistence.begin() as work:
            assert list((await load(work, run_id)).jobs) == []

    async def test_at_the_head_of_the_queue_they_hold_up_nobody(self) -> None:
        async with self.play("a") as (play, well):
            scene = play.scene
            orphans = [await orphan(scene, well) for _ in range(3)]
            offers: list[JobOffer] = []
            for _ in orphans:
                offers += await scene.lease(play.session_id, play.registered, slots=1)
            assert offers == []
            offers += await play.offers()
            assert [offer.lease.run_id for offer in offers] == [well]
            for run_id in orphans:
                await self.ended(scene, run_id)
            assert await play.offers() == ()

    async def test_whoever_leases_is_told_to_ask_again(self) -> None:
        async with self.play("a") as (play, well):
            scene = play.scene
            await orphan(scene, well)
            demand = scene.demand(play.session_id, play.registered, slots=1)
            command = LeaseOnce(scene.namespace, demand)
            [first] = (await scene.kernel.dispatch_many([command])).results
            assert not isinstance(first, Rejection)
            assert (first.leased, first.contended) == (0, True)
            [second] = (await scene.kernel.dispatch_many([command])).results
            assert not isinstance(second, Rejection)
            assert (second.leased, second.contended) == (1, False)

    async def test_a_group_of_several_jobs_ends_with_its_run(self) -> None:
        async with self.play(["a", "b", "c"]) as (play, well):
            run_id = await orphan(play.scene, well)
            assert [offer.lease.run_id for offer in await play.offers()] == [well] * 3
            assert (await play.scene.event_types(run_id)).count("workflow:failed") == 1
            assert await play.run_state(run_id) is RunState.FAILED

    async def test_a_report_on_one_does_not_hurt_its_batch_and_its_cost_is_booked(self) -> None:
        async with self.play("a") as (play, well):
            scene, ledger = play.scene, LedgerScene(play.scene)
            offer = await play.offer()
            run_id = await orphan(scene, well)
            lost = replace_run(offer, run_id)
            call = ledger.new_call("0.25")
            said = await scene.report_many((lost, completed("a")), (offer, completed("a")), ai_calls=[call])
            first, second = said.results
            assert isinstance(first, JobReportRecorded)
            assert isinstance(second, JobReportRecorded)
            assert [first.disposition, second.disposition] == [Disposition.RUN_ENDED, Disposition.RECORDED]
            assert first.booked == (call.id,)
            assert str((await scene.details(run_id)).run.total_cost) == "0.25"
            await self.ended(scene, run_id)
            assert await ledger.record_under(lost, ledger.new_call()) == AiCallRecorded(replayed=False)

    async def test_a_large_report_on_one_is_told_that_the_run_has_ended(self) -> None:
        async with self.play("a") as (play, well):
            offer = await play.offer()
            lost = replace_run(offer, await orphan(play.scene, well))
            said = await play.scene.report(lost, completed("x" * PAYLOAD_INLINE_BYTES_MAX))
            assert said.disposition is Disposition.RUN_ENDED

    async def test_its_worker_is_stopped(self) -> None:
        async with self.play("a") as (play, well):
            offer = await play.offer()
            run_id = await orphan(play.scene, well)
            sent = await play.scene.kernel.dispatch_many([TransitionRun(run_id)])
            assert sent.results == [RunTransition("failed")]
            [stopped] = sent.effects.stopped
            assert (stopped.run_id, stopped.session_id) == (run_id, offer.lease.session_id)

    async def test_reapers_end_each_and_go_on(self) -> None:
        async with self.play(timed_stage("a", schedule_to_start=MINUTE)) as (play, well):
            scene = play.scene
            run_id = await orphan(scene, well)
            scene.clock.advance(MINUTE)
            await scene.kernel.dispatch(ExpireDeadlines())
            await self.ended(scene, run_id)
            assert await play.run_state(well) is RunState.FAILED
            assert await scene.kernel.dispatch(ExpireDeadlines()) == DeadlinesExpired(0, 0, None)

    async def test_11_7_97_dead_sessions_and_stuck_runs_are_cared_for_beside_them(self) -> None:
        async with self.play("a") as (play, well):
            scene = play.scene
            offer = await play.offer()
            leased = await orphan(scene, well)
            scene.clock.advance(SESSION_TIMEOUT)
            assert (await scene.reap()).requeued == 1
            await self.ended(scene, leased)
            stuck = await orphan(scene, well)
            async with scene.backend.persistence.begin() as work:
                await work.commit(ChangeSet(jobs_deleted=list((await load(work, stuck)).jobs)))
            assert await scene.kernel.dispatch(ReapStuckRuns()) == StuckRunsReaped(0, 1)
            await self.ended(scene, stuck)
            assert offer.lease.run_id == well

    async def test_people_can_still_speak_of_them(self) -> None:
        async with self.play("a") as (play, well):
            scene = play.scene
            run_id = await orphan(scene, well)
            remark = AnnotateRun(scene.namespace, run_id, (Annotation("n-1", "note", "1"),))
            noted = await scene.kernel.dispatch(remark)
            assert isinstance(noted, RunAnnotated)
            cancelled = await scene.kernel.dispatch(CancelRun(scene.namespace, run_id))
            assert cancelled == RunCancellation(cancelled=False, state=RunState.FAILED)
            refused = await scene.kernel.dispatch(RerunRun(scene.namespace, run_id, "a"))
            assert isinstance(refused, Rejection)
            assert refused.reason is Reason.STAGE_NOT_FOUND


def replace_run(offer: JobOffer, run_id: UUID) -> JobOffer:
    """The same offer of another run."""
    return replace(offer, lease=dataclasses.replace(offer.lease, run_id=run_id))
