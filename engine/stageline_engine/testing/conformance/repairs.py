"""What is brought back to where it should be, and what must not be held up by a run that cannot be started."""

from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from stageline_engine.commands import (
    ClaimPendingRuns,
    ExpireDeadlines,
    PendingRunsClaimed,
    ReapStuckRuns,
    StillWaiting,
    StuckRunsReaped,
)
from stageline_engine.decide.create import CLAIM_FAILED
from stageline_engine.decide.deadlines import NOT_STARTED_IN_TIME, WAIT_EXPIRED
from stageline_engine.model.job import JobKind
from stageline_engine.model.run import RunRow, RunState
from stageline_engine.model.stage import StageState
from stageline_engine.records import ChangeSet, RunPayload
from stageline_engine.testing.conformance.base import Conformance, load
from stageline_engine.testing.play import Play, batch_stage, timed_stage
from stageline_engine.testing.scene import Scene

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


class RepairConformance(Conformance):
    """Repairs restore what must be there and leave every healthy run alone, however long it waits."""

    async def test_11_7_98_a_stage_without_a_job_gets_it_back_once(self) -> None:
        async with self.play("a") as (play, run_id):
            await self._lose_job(play, run_id)
            assert await play.offers() == ()
            assert await play.scene.kernel.dispatch(ReapStuckRuns()) == StuckRunsReaped(1, 0)
            assert await play.scene.kernel.dispatch(ReapStuckRuns()) == StuckRunsReaped(0, 0)
            await play.finish(run_id)

    async def test_11_7_97_runs_that_wait_run_or_are_queued_are_healthy(self) -> None:
        async with self.play("a") as (play, _):
            await play.offer()
            await play.scene.create("flow")
            play.scene.clock.advance(timedelta(days=2))
            assert await play.scene.kernel.dispatch(ReapStuckRuns()) == StuckRunsReaped(0, 0)

    async def test_a_wait_that_is_repaired_keeps_its_interval_and_its_end(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend(poll_interval=MINUTE, wait_max=HOUR)
            await play.scene.report(await play.check_after(MINUTE), StillWaiting(state=b'{"seen": 1}'))
            await self._lose_job(play, run_id)
            await play.scene.kernel.dispatch(ReapStuckRuns())
            check = await play.offer()
            assert (check.kind, check.suspended_state) == (JobKind.CHECK, '{"seen": 1}')
            await play.scene.report(check, StillWaiting())
            await play.scene.report(await play.check_after(MINUTE), StillWaiting())
            await self._expires_after(play, run_id, HOUR - 2 * MINUTE, WAIT_EXPIRED)

    async def test_a_wait_that_is_never_polled_is_not_polled_after_a_repair(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend(never_poll=True, wait_max=HOUR)
            await self._lose_job(play, run_id)
            await play.scene.kernel.dispatch(ReapStuckRuns())
            await play.wait(MINUTE)
            assert await play.offers() == ()
            assert await play.stage_state(run_id) is StageState.SUSPENDED
            await self._expires_after(play, run_id, HOUR - MINUTE, WAIT_EXPIRED)

    async def test_a_job_that_is_restored_must_be_taken_in_time_again(self) -> None:
        async with self.play(timed_stage("a", schedule_to_start=MINUTE)) as (play, run_id):
            await self._lose_job(play, run_id)
            await play.scene.kernel.dispatch(ReapStuckRuns())
            await self._expires_after(play, run_id, MINUTE, NOT_STARTED_IN_TIME)

    async def test_11_3_28_a_run_that_cannot_start_fails_and_the_next_one_starts(self) -> None:
        async with self.play("a") as (play, _):
            scene, now = play.scene, play.scene.clock.now()
            well = await scene.create("flow", start_at=now + MINUTE)
            bad = await self._run_without_a_definition(
                scene, (await scene.details(well)).run, RunState.PENDING
            )
            scene.clock.advance(MINUTE)
            claimed = await scene.kernel.dispatch(ClaimPendingRuns())
            assert claimed == PendingRunsClaimed((well,), None, (bad,))
            run = (await scene.details(bad)).run
            assert (run.state, run.error.code if run.error else "") == (RunState.FAILED, CLAIM_FAILED)
            assert await scene.event_types(bad) == ["workflow:failed"]
            assert await play.run_state(well) is RunState.RUNNING
            assert await scene.kernel.dispatch(ClaimPendingRuns()) == PendingRunsClaimed((), None)

    async def _run_without_a_definition(self, scene: Scene, like: RunRow, state: RunState) -> UUID:
        """Stores a run that is pinned to a version that is not, and that comes before all others."""
        run_id = scene.ids.new_id()
        run = replace(
            like, id=run_id, workflow_version=99, state=state, priority=100, event_sequence=0, version=0
        )
        async with scene.backend.persistence.begin() as work:
            await work.commit(ChangeSet(runs_inserted=[run], payloads=[RunPayload(run_id, "{}", "{}", {})]))
        return run_id

    async def _expires_after(self, play: Play, run_id: UUID, left: timedelta, error: str) -> None:
        """Checks that a stage fails at this moment, and not before."""
        moment = timedelta(microseconds=1)
        play.scene.clock.advance(left - moment)
        await play.scene.kernel.dispatch(ExpireDeadlines())
        assert not (await play.run_state(run_id)).terminal
        play.scene.clock.advance(moment)
        await play.scene.kernel.dispatch(ExpireDeadlines())
        run = (await play.scene.details(run_id)).run
        assert run.error is not None
        assert run.error.code == error

    async def _lose_job(self, play: Play, run_id: UUID) -> None:
        """Takes a job away behind the kernel's back."""
        async with play.scene.backend.persistence.begin() as work:
            loaded = await load(work, run_id)
            await work.commit(ChangeSet(jobs_deleted=list(loaded.jobs)))
