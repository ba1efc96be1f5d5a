"""Suspension: days of waiting cost one row, and end by a check, from outside, by time, or with the run."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from stageline_engine.commands import (
    CheckNow,
    Disposition,
    ExpireDeadlines,
    RerunRun,
    ResumeStage,
    StageResumed,
    StillWaiting,
    SuspendCondition,
    Suspended,
)
from stageline_engine.decide.deadlines import WAIT_EXPIRED
from stageline_engine.events import StageError
from stageline_engine.limits import POLL_INTERVAL_DEFAULT, REQUEST_ID_LENGTH_MAX, WAIT_DEFAULT
from stageline_engine.model.job import JobKind
from stageline_engine.model.run import RunError, RunState
from stageline_engine.model.stage import StageState
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.play import Play, batch_stage
from stageline_engine.testing.scene import completed, failed

TOKEN = b"a token that somebody was given"
CONDITION = SuspendCondition(hashlib.sha256(TOKEN).digest(), "approval by finance")
HOUR = timedelta(hours=1)


def resume(play: Play, run_id: UUID, outcome: object, token: bytes = TOKEN) -> ResumeStage:
    """The command that resumes the first stage."""
    return ResumeStage(play.scene.namespace, run_id, "batch", token, outcome)  # type: ignore[arg-type]


class WaitConformance(Conformance):
    """SPEC scenarios 67 to 80: suspend, check, resume, deadline, cancellation."""

    async def test_11_6_67_a_suspension_with_no_policy_gets_the_defaults(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend()
            [entry] = (await play.scene.details(run_id)).stages
            now = play.scene.clock.now()
            assert entry.available_at == now + POLL_INTERVAL_DEFAULT
            told = await play.payload(run_id, "stage:suspended")
            assert told["wait_until"] == (now + WAIT_DEFAULT).isoformat()

    async def test_11_6_67_explicit_values_win(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend(poll_interval=HOUR, first_check_delay=timedelta(minutes=5), wait_max=4 * HOUR)
            [entry] = (await play.scene.details(run_id)).stages
            assert entry.available_at == play.scene.clock.now() + timedelta(minutes=5)

    async def test_11_6_68_the_run_goes_on_and_the_state_is_kept(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend(state=b'{"batch_id": "b-1", "custom": [1, 2]}')
            assert await play.run_state(run_id) is RunState.RUNNING
            assert await play.stage_state(run_id) is StageState.SUSPENDED
            types = await play.scene.event_types(run_id)
            assert types[-2:] == ["stage:suspended", "workflow:suspended"]
            offer = await play.check_after(POLL_INTERVAL_DEFAULT)
            assert (offer.kind, offer.suspended_state) == (
                JobKind.CHECK,
                '{"batch_id": "b-1", "custom": [1, 2]}',
            )

    async def test_11_6_70_a_check_that_found_nothing_comes_again(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend(poll_interval=timedelta(minutes=10))
            offer = await play.check_after(timedelta(minutes=10))
            await play.scene.report(offer, StillWaiting(timedelta(seconds=5), b'{"seen": 1}'))
            await play.wait(timedelta(seconds=4))
            assert await play.offers() == ()
            offer = await play.check_after(timedelta(seconds=1))
            assert offer.suspended_state == '{"seen": 1}'
            await play.scene.report(offer, StillWaiting())
            [entry] = (await play.scene.details(run_id)).stages
            assert entry.available_at == play.scene.clock.now() + timedelta(minutes=10)
            assert entry.stage.attempt == 1

    async def test_11_6_71_a_check_that_is_ready_completes_the_stage(self) -> None:
        async with self.play(batch_stage(), "after") as (play, run_id):
            await play.suspend()
            offer = await play.check_after(POLL_INTERVAL_DEFAULT)
            recorded = await play.scene.report(offer, completed("done"))
            assert recorded.disposition is Disposition.RECORDED
            following = await play.offer()
            assert (following.stage_id, following.outputs) == ("after", {"batch": '"done"'})
            assert (await play.scene.event_types(run_id)).count("stage:started") == 2

    async def test_11_6_73_a_check_that_fails_for_good_fails_stage_and_run(self) -> None:
        async with self.play(batch_stage(), "after") as (play, run_id):
            await play.suspend()
            offer = await play.check_after(POLL_INTERVAL_DEFAULT)
            await play.scene.report(offer, failed("BatchFailed", "the provider gave up", retryable=False))
            details = await play.scene.details(run_id)
            assert details.run.error == RunError("BatchFailed", "the provider gave up", "batch")
            assert [entry.stage.stage_id for entry in details.stages] == ["batch"]

    async def test_a_check_that_fails_retryably_runs_the_stage_again_with_its_state(self) -> None:
        async with self.play(batch_stage()) as (play, _run_id):
            await play.suspend(state=b'{"batch_id": "b-1"}')
            offer = await play.check_after(POLL_INTERVAL_DEFAULT)
            await play.scene.report(offer, failed(retry_after=timedelta(seconds=1)))
            offer = await play.check_after(timedelta(seconds=1))
            assert (offer.kind, offer.attempt) == (JobKind.EXECUTE, 2)
            assert offer.suspended_state == '{"batch_id": "b-1"}'

    async def test_11_6_74_the_longest_wait_is_enforced_at_its_moment(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend(poll_interval=HOUR, wait_max=2 * HOUR)
            await play.scene.report(await play.check_after(HOUR), StillWaiting())
            await play.wait(HOUR - timedelta(seconds=1))
            before = await play.scene.kernel.dispatch(ExpireDeadlines())
            assert before.stages == 0  # type: ignore[union-attr]
            assert before.next_deadline_at == play.scene.clock.now() + timedelta(seconds=1)  # type: ignore[union-attr]
            play.scene.clock.advance(timedelta(seconds=1))
            await play.scene.kernel.dispatch(ExpireDeadlines())
            error = (await play.scene.details(run_id)).run.error
            assert error is not None
            assert error.code == WAIT_EXPIRED

    async def test_11_6_76_the_run_waits_for_the_suspended_sibling(self) -> None:
        async with self.play([batch_stage(), "b"], "after") as (play, run_id):
            first, second = sorted(await play.offers(), key=lambda offer: offer.stage_id)
            assert (first.stage_id, second.stage_id) == ("b", "batch")
            await play.scene.report(second, Suspended())
            await play.scene.report(first, completed("b"))
            assert await play.run_state(run_id) is RunState.RUNNING
            await play.scene.report(await play.check_after(POLL_INTERVAL_DEFAULT), completed("batch"))
            offer = await play.offer()
            assert offer.outputs == {"batch": '"batch"', "b": '"b"'}

    async def test_11_6_77_a_run_cancelled_during_the_check_stays_cancelled(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend()
            offer = await play.check_after(POLL_INTERVAL_DEFAULT)
            await play.scene.cancel(run_id)
            recorded = await play.scene.report(offer, completed("late"))
            assert recorded.disposition is Disposition.RUN_ENDED
            assert await play.stage_state(run_id) is StageState.CANCELLED

    async def test_11_6_80_a_stage_that_ended_leaves_no_job(self) -> None:
        async with self.play(batch_stage()) as (play, _run_id):
            await play.suspend(wait_max=HOUR)
            play.scene.clock.advance(HOUR)
            await play.scene.kernel.dispatch(ExpireDeadlines())
            promoted = await play.scene.promote()
            assert (promoted.promoted, promoted.next_available_at) == (0, None)

    async def test_a_dead_checker_hands_its_check_on(self) -> None:
        async with self.play(batch_stage()) as (play, _run_id):
            await play.suspend()
            offer = await play.check_after(POLL_INTERVAL_DEFAULT)
            play.scene.clock.advance(HOUR)
            await play.scene.reap()
            other = await play.scene.open_session(worker_name="other")
            [again] = await play.scene.lease(other, play.registered)
            assert (again.kind, again.delivery) == (JobKind.CHECK, offer.delivery + 1)
            late = await play.scene.report(offer, completed("late"))
            assert late.disposition is Disposition.SUPERSEDED

    async def test_a_stage_that_is_not_a_batch_stage_cannot_suspend(self) -> None:
        async with self.play("a") as (play, run_id):
            recorded = await play.scene.report(await play.offer(), Suspended())
            assert "ASYNC_BATCH" in recorded.note
            assert await play.run_state(run_id) is RunState.FAILED

    async def test_a_state_that_cannot_be_kept_fails_its_stage_and_nothing_else(self) -> None:
        for unfit in (
            Suspended(state=b"{not JSON"),
            Suspended(state=b"\xff"),
            Suspended(conditions=(CONDITION, CONDITION)),
        ):
            async with self.play(batch_stage()) as (play, run_id):
                recorded = await play.scene.report(await play.offer(), unfit)
                assert recorded.disposition is Disposition.RECORDED
                assert recorded.note
                assert await play.run_state(run_id) is RunState.FAILED

    async def test_the_outside_completes_a_wait_once(self) -> None:
        async with self.play(batch_stage(), "after") as (play, run_id):
            await play.suspend(never_poll=True, conditions=(CONDITION,))
            dispatch = play.scene.kernel.dispatch
            assert await dispatch(resume(play, run_id, completed("yes"))) == StageResumed(RunState.RUNNING)
            again = await dispatch(resume(play, run_id, completed("yes")))
            assert again == StageResumed(RunState.RUNNING, replayed=True)
            other = await dispatch(resume(play, run_id, completed("no")))
            assert isinstance(other, Rejection)
            assert other.reason is Reason.RESUME_TOKEN_INVALID
            assert (await play.offer()).outputs == {"batch": '"yes"'}

    async def test_a_token_used_twice_in_one_batch_ends_the_wait_once(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend(conditions=(CONDITION,))
            twice = [resume(play, run_id, completed("yes"))] * 2
            dispatched = await play.scene.kernel.dispatch_many(twice)
            assert dispatched.results == [
                StageResumed(RunState.COMPLETED),
                StageResumed(RunState.COMPLETED, replayed=True),
            ]

    async def test_a_repeat_under_the_same_key_gets_the_first_answer(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend(poll_interval=HOUR, conditions=(CONDITION,))
            dispatch = play.scene.kernel.dispatch
            look = replace(resume(play, run_id, CheckNow()), idempotency_key="key")
            assert await dispatch(look) == StageResumed(RunState.RUNNING)
            offer = await play.offer()
            assert await dispatch(look) == StageResumed(RunState.RUNNING, replayed=True)
            other = await dispatch(replace(resume(play, run_id, completed("yes")), idempotency_key="key"))
            assert isinstance(other, Rejection)
            assert other.reason is Reason.REQUEST_ID_REUSED
            too_long = await dispatch(replace(look, idempotency_key="k" * (REQUEST_ID_LENGTH_MAX + 1)))
            assert isinstance(too_long, Rejection)
            assert too_long.violations[0].field == "request_id"
            assert (await play.scene.report(offer, StillWaiting())).disposition is Disposition.RECORDED

    async def test_what_ended_a_wait_may_be_told_again_after_a_rerun(self) -> None:
        async with self.play("before", batch_stage()) as (play, run_id):
            await play.scene.report(await play.offer(), completed())
            await play.suspend(conditions=(CONDITION,))
            await play.scene.kernel.dispatch(resume(play, run_id, completed("yes")))
            await play.scene.kernel.dispatch(RerunRun("default", run_id, "before"))
            again = await play.scene.kernel.dispatch(resume(play, run_id, completed("yes")))
            assert again == StageResumed(RunState.RUNNING, replayed=True)

    async def test_a_stage_that_suspends_again_may_give_its_token_again(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend(conditions=(CONDITION,))
            check = await play.check_after(POLL_INTERVAL_DEFAULT)
            await play.scene.report(check, failed(retry_after=timedelta(seconds=1)))
            await play.wait(timedelta(seconds=1))
            await play.suspend(conditions=(CONDITION,))
            resumed = await play.scene.kernel.dispatch(resume(play, run_id, completed("yes")))
            assert resumed == StageResumed(RunState.COMPLETED)

    async def test_the_outside_fails_a_wait(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend(conditions=(CONDITION,))
            await play.scene.kernel.dispatch(resume(play, run_id, StageError("Rejected", "no budget")))
            assert (await play.scene.details(run_id)).run.error == RunError("Rejected", "no budget", "batch")

    async def test_the_outside_asks_for_a_check_now_and_keeps_its_token(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            await play.suspend(poll_interval=HOUR, conditions=(CONDITION,))
            await play.scene.kernel.dispatch(resume(play, run_id, CheckNow()))
            assert (await play.offer()).kind is JobKind.CHECK
            resumed = await play.scene.kernel.dispatch(resume(play, run_id, completed("yes")))
            assert resumed == StageResumed(RunState.COMPLETED)

    async def test_a_token_that_is_wrong_expired_or_early_changes_nothing(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            expiring = SuspendCondition(CONDITION.token_sha256, "soon", expire_after=HOUR)
            await play.suspend(conditions=(expiring,))
            wrong = await play.scene.kernel.dispatch(resume(play, run_id, completed(), b"another"))
            await play.wait(HOUR)
            late = await play.scene.kernel.dispatch(resume(play, run_id, completed()))
            for answer in (wrong, late):
                assert isinstance(answer, Rejection)
                assert answer.reason is Reason.RESUME_TOKEN_INVALID
            assert await play.stage_state(run_id) is StageState.SUSPENDED

    async def test_11_6_79_two_hundred_checks_are_due_at_once_and_none_waits_for_another(self) -> None:
        async with self.play(batch_stage()) as (play, _):
            for _ in range(199):
                await play.scene.create("flow")
            for _ in range(2):
                for offer in await play.offers():
                    await play.scene.report(offer, Suspended())
            await play.wait(POLL_INTERVAL_DEFAULT)
            leased = [*await play.offers(), *await play.offers()]
            assert len(leased) == 200
            assert {offer.kind for offer in leased} == {JobKind.CHECK}
