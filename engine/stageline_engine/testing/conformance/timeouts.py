"""What happens when nothing happens: the four limits of time, and runs that wait for their start."""

from datetime import timedelta

from stageline_engine.commands import ClaimPendingRuns, Disposition, ExpireDeadlines, ReportProgress
from stageline_engine.decide.deadlines import (
    HEARTBEAT_TIMED_OUT,
    NOT_STARTED_IN_TIME,
    RUN_TIMED_OUT,
    TIMED_OUT,
)
from stageline_engine.model.definition import RetryPolicy, StageTimeouts
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.definitions import stage
from stageline_engine.testing.play import Play, timed_stage
from stageline_engine.testing.scene import completed

MINUTE = timedelta(minutes=1)


async def expire(play: Play, step: timedelta) -> None:
    """Lets time pass and acts on what ran out of it."""
    await play.wait(step)
    await play.scene.kernel.dispatch_many([ExpireDeadlines()])


class TimeoutConformance(Conformance):
    """Deadlines are exact, written with the state and epoch that they expect, and never hit a healthy run."""

    async def test_a_job_that_nobody_takes_fails_its_stage(self) -> None:
        async with self.play(timed_stage("a", schedule_to_start=MINUTE)) as (play, run_id):
            await expire(play, MINUTE - timedelta(seconds=1))
            assert await play.run_state(run_id) is RunState.RUNNING
            await expire(play, timedelta(seconds=1))
            error = (await play.scene.details(run_id)).run.error
            assert error is not None
            assert (error.code, error.stage_id) == (NOT_STARTED_IN_TIME, "a")
            assert await play.offers() == ()

    async def test_a_job_that_is_taken_in_time_is_left_alone(self) -> None:
        async with self.play(timed_stage("a", schedule_to_start=MINUTE)) as (play, run_id):
            offer = await play.offer()
            await expire(play, 10 * MINUTE)
            await play.scene.report(offer, completed())
            assert await play.run_state(run_id) is RunState.COMPLETED

    async def test_a_job_that_takes_too_long_is_stopped_and_tried_again(self) -> None:
        late = stage("a", timeouts=StageTimeouts(start_to_close=MINUTE), retry=RetryPolicy(max_attempts=2))
        async with self.play(late) as (play, run_id):
            offer = await play.offer()
            await play.wait(MINUTE)
            dispatched = await play.scene.kernel.dispatch_many([ExpireDeadlines()])
            assert dispatched.effects.stopped == (offer.lease,)
            assert (await play.payload(run_id, "stage:failed"))["error"]["type"] == TIMED_OUT
            recorded = await play.scene.report(offer, completed("late"))
            assert recorded.disposition is not Disposition.RECORDED
            again = await play.check_after(timedelta(minutes=5))
            assert again.attempt == 2
            await expire(play, MINUTE)
            error = (await play.scene.details(run_id)).run.error
            assert error is not None
            assert error.code == TIMED_OUT

    async def test_signs_of_life_move_the_heartbeat_but_not_the_end(self) -> None:
        timeouts = StageTimeouts(heartbeat=MINUTE, start_to_close=3 * MINUTE)
        async with self.play(stage("a", timeouts=timeouts, retry=RetryPolicy(max_attempts=1))) as (
            play,
            run_id,
        ):
            offer = await play.offer()
            lease = offer.lease
            alive = ReportProgress("default", run_id, lease.stage_number, lease.lease_token, 0.5)
            for _ in range(2):
                await expire(play, MINUTE - timedelta(seconds=1))
                await play.scene.kernel.dispatch(alive)
            assert await play.stage_state(run_id) is StageState.RUNNING
            await expire(play, MINUTE)
            assert (await play.payload(run_id, "stage:failed"))["error"]["type"] == HEARTBEAT_TIMED_OUT

    async def test_a_run_that_takes_too_long_ends_with_all_its_stages(self) -> None:
        async with self.play(["a", "b"], run_timeout=MINUTE) as (play, run_id):
            offers = await play.offers()
            await play.wait(MINUTE)
            dispatched = await play.scene.kernel.dispatch_many([ExpireDeadlines()])
            assert {lease.lease_token for lease in dispatched.effects.stopped} == {
                offer.lease.lease_token for offer in offers
            }
            details = await play.scene.details(run_id)
            assert details.run.error is not None
            assert (details.run.state, details.run.error.code) == (RunState.FAILED, RUN_TIMED_OUT)
            assert {entry.stage.state for entry in details.stages} == {StageState.CANCELLED}

    async def test_a_run_that_ended_in_time_is_left_alone(self) -> None:
        async with self.play("a", run_timeout=MINUTE) as (play, run_id):
            await play.finish(run_id)
            await expire(play, 2 * MINUTE)
            assert await play.run_state(run_id) is RunState.COMPLETED

    async def test_a_run_waits_for_its_start(self) -> None:
        async with self.play("a") as (play, first):
            await play.finish(first)
            start_at = play.scene.clock.now() + MINUTE
            run_id = await play.scene.create("flow", start_at=start_at)
            assert await play.run_state(run_id) is RunState.PENDING
            assert await play.offers() == ()
            before = await play.scene.kernel.dispatch(ClaimPendingRuns())
            assert (before.run_ids, before.next_start_at) == ((), start_at)  # type: ignore[union-attr]
            await play.wait(MINUTE)
            after = await play.scene.kernel.dispatch(ClaimPendingRuns())
            assert after.run_ids == (run_id,)  # type: ignore[union-attr]
            await play.finish(run_id)

    async def test_11_3_26_no_more_runs_are_claimed_than_asked_for(self) -> None:
        async with self.play("a") as (play, _):
            start_at = play.scene.clock.now() + MINUTE
            waiting = [
                await play.scene.create("flow", start_at=start_at, priority=number) for number in range(5)
            ]
            await play.wait(MINUTE)
            claimed = await play.scene.kernel.dispatch(ClaimPendingRuns(limit=2))
            assert claimed.run_ids == (waiting[4], waiting[3])  # type: ignore[union-attr]

    async def test_11_7_82_a_pending_run_can_be_cancelled(self) -> None:
        async with self.play("a") as (play, _):
            run_id = await play.scene.create("flow", start_at=play.scene.clock.now() + MINUTE)
            await play.scene.cancel(run_id)
            await play.wait(MINUTE)
            claimed = await play.scene.kernel.dispatch(ClaimPendingRuns())
            assert claimed.run_ids == ()  # type: ignore[union-attr]
