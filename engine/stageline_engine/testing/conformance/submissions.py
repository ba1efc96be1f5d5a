"""What stages submit elsewhere: on record before and after, told to whoever has the job next, never said by others."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from stageline_engine.commands import (
    JobOffer,
    PurgeHistory,
    RecordSubmission,
    RerunRun,
    Returned,
    SequenceEvents,
    SubmissionRecorded,
    Suspended,
)
from stageline_engine.limits import POLL_INTERVAL_DEFAULT, SESSION_TIMEOUT, SUBMISSIONS_PER_STAGE_MAX
from stageline_engine.model.submission import SubmissionPhase
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.play import Play, batch_stage
from stageline_engine.testing.scene import Scene, completed, failed

KEY = "prompts-1"
DAY = timedelta(days=1)


def command(
    offer: JobOffer, phase: str, key: str = KEY, reference: str = "", **fields: Any
) -> RecordSubmission:
    """What the holder of a lease says of a submission."""
    lease = offer.lease
    given: dict[str, Any] = {"namespace": offer.namespace} | fields
    return RecordSubmission(
        run_id=lease.run_id,
        stage_number=lease.stage_number,
        lease_token=lease.lease_token,
        key=key,
        phase=SubmissionPhase(phase),
        reference=reference,
        **given,
    )


async def say(scene: Scene, offer: JobOffer, phase: str, **fields: Any) -> SubmissionRecorded | Rejection:
    """Says it to the kernel."""
    return await scene.kernel.dispatch(command(offer, phase, **fields))


async def known(play: Play, run_id: UUID) -> list[tuple[int, str, str, str]]:
    """What is on record: generation, key, phase, reference."""
    rows = (await play.scene.details(run_id)).submissions
    return [(row.generation, row.key, row.phase.value, row.reference) for row in rows]


def told(offer: JobOffer) -> list[tuple[str, str, str]]:
    """What a job's worker is told."""
    return [(each.key, each.phase.value, each.reference) for each in offer.submissions]


class SubmissionConformance(Conformance):
    """FEATURES M4: two-phase submit."""

    async def test_a_submission_is_declared_and_confirmed_each_once(self) -> None:
        async with self.play("a") as (play, run_id):
            offer = await play.offer()
            assert told(offer) == []
            for phase, reference in (("DECLARED", ""), ("CONFIRMED", "batch-1")):
                assert await say(play.scene, offer, phase, reference=reference) == SubmissionRecorded(
                    replayed=False
                )
                assert await say(play.scene, offer, phase, reference=reference) == SubmissionRecorded(
                    replayed=True
                )
            assert await known(play, run_id) == [(1, KEY, "CONFIRMED", "batch-1")]

    async def test_declaration_and_confirmation_of_one_batch_are_both_kept(self) -> None:
        async with self.play("a") as (play, run_id):
            offer = await play.offer()
            batch = [
                command(offer, "DECLARED"),
                command(offer, "CONFIRMED", reference="b"),
                command(offer, "DECLARED", "other"),
            ]
            answers = (await play.scene.kernel.dispatch_many(batch)).results
            assert [answer.replayed for answer in answers if isinstance(answer, SubmissionRecorded)] == [
                False
            ] * 3
            assert await known(play, run_id) == [(1, "other", "DECLARED", ""), (1, KEY, "CONFIRMED", "b")]

    async def test_the_next_attempt_is_told(self) -> None:
        async with self.play("a") as (play, _run_id):
            offer = await play.offer()
            await say(play.scene, offer, "DECLARED")
            await play.scene.report(offer, failed(retry_after=timedelta(seconds=1)))
            offer = await play.check_after(timedelta(seconds=1))
            assert (offer.attempt, told(offer)) == (2, [(KEY, "DECLARED", "")])

    async def test_the_next_delivery_is_told_after_a_worker_was_lost(self) -> None:
        async with self.play("a") as (play, _run_id):
            offer = await play.offer()
            await say(play.scene, offer, "DECLARED")
            play.scene.clock.advance(SESSION_TIMEOUT)
            await play.scene.reap()
            play.session_id = await play.scene.open_session()
            offer = await play.offer()
            assert (offer.delivery, told(offer)) == (2, [(KEY, "DECLARED", "")])

    async def test_a_job_that_was_handed_back_unbegun_is_told_all_the_same(self) -> None:
        async with self.play("a") as (play, _run_id):
            offer = await play.offer()
            await say(play.scene, offer, "DECLARED")
            await play.scene.report(offer, Returned(started=False))
            offer = await play.offer()
            assert (offer.attempt, offer.delivery, told(offer)) == (1, 1, [(KEY, "DECLARED", "")])

    async def test_a_check_is_told(self) -> None:
        async with self.play(batch_stage()) as (play, _run_id):
            offer = await play.offer()
            await say(play.scene, offer, "DECLARED")
            await say(play.scene, offer, "CONFIRMED", reference="batch-1")
            await play.scene.report(offer, Suspended())
            offer = await play.check_after(POLL_INTERVAL_DEFAULT)
            assert told(offer) == [(KEY, "CONFIRMED", "batch-1")]

    async def test_under_a_lease_that_has_ended_nothing_can_be_declared(self) -> None:
        async with self.play("a") as (play, run_id):
            lost = await play.offer()
            play.scene.clock.advance(SESSION_TIMEOUT)
            await play.scene.reap()
            refusal = await say(play.scene, lost, "DECLARED")
            assert isinstance(refusal, Rejection)
            assert refusal.reason is Reason.LEASE_SUPERSEDED
            assert await known(play, run_id) == []

    async def test_its_declarer_may_confirm_after_its_lease_has_ended_and_nobody_else(self) -> None:
        async with self.play("a") as (play, run_id):
            lost = await play.offer()
            await say(play.scene, lost, "DECLARED")
            await play.scene.cancel(run_id)
            refusal = await say(play.scene, lost, "DECLARED")
            assert isinstance(refusal, Rejection)
            assert await say(play.scene, lost, "CONFIRMED", reference="late") == SubmissionRecorded(
                replayed=False
            )
            assert await known(play, run_id) == [(1, KEY, "CONFIRMED", "late")]

    async def test_a_declaration_of_the_next_attempt_takes_the_word_from_the_one_before(self) -> None:
        async with self.play("a") as (play, run_id):
            first = await play.offer()
            await say(play.scene, first, "DECLARED")
            await play.scene.report(first, failed(retry_after=timedelta(seconds=1)))
            second = await play.check_after(timedelta(seconds=1))
            assert await say(play.scene, second, "DECLARED") == SubmissionRecorded(replayed=False)
            refusal = await say(play.scene, first, "CONFIRMED", reference="of-the-first")
            assert isinstance(refusal, Rejection)
            await say(play.scene, second, "CONFIRMED", reference="of-the-second")
            assert await known(play, run_id) == [(1, KEY, "CONFIRMED", "of-the-second")]

    async def test_what_is_confirmed_stays_confirmed(self) -> None:
        async with self.play("a") as (play, run_id):
            offer = await play.offer()
            await say(play.scene, offer, "DECLARED")
            await say(play.scene, offer, "CONFIRMED", reference="batch-1")
            for phase in ("DECLARED", "WITHDRAWN", "SUSPECTED"):
                refusal = await say(play.scene, offer, phase)
                assert isinstance(refusal, Rejection)
                assert refusal.metadata["provider_reference"] == "batch-1"
            other = await say(play.scene, offer, "CONFIRMED", reference="batch-2")
            assert isinstance(other, Rejection)
            assert await known(play, run_id) == [(1, KEY, "CONFIRMED", "batch-1")]

    async def test_what_was_never_declared_cannot_be_confirmed(self) -> None:
        async with self.play("a") as (play, run_id):
            offer = await play.offer()
            for phase, reference in (("CONFIRMED", "x"), ("WITHDRAWN", ""), ("SUSPECTED", "")):
                refusal = await say(play.scene, offer, phase, reference=reference)
                assert isinstance(refusal, Rejection)
                assert refusal.reason is Reason.INVALID_FIELD
            assert await known(play, run_id) == []

    async def test_what_was_withdrawn_can_be_declared_anew(self) -> None:
        async with self.play("a") as (play, run_id):
            offer = await play.offer()
            for phase in ("DECLARED", "WITHDRAWN", "DECLARED"):
                assert await say(play.scene, offer, phase) == SubmissionRecorded(replayed=False)
            assert await known(play, run_id) == [(1, KEY, "DECLARED", "")]

    async def test_a_suspected_orphan_is_told_of_once_and_may_still_be_found(self) -> None:
        async with self.play("a") as (play, run_id):
            offer = await play.offer()
            await say(play.scene, offer, "DECLARED")
            for _ in range(2):
                await say(play.scene, offer, "SUSPECTED")
            types = await play.scene.event_types(run_id)
            assert types.count("stage:orphan_suspected") == 1
            payload = await play.payload(run_id, "stage:orphan_suspected")
            assert payload == {"stage_id": "a", "key": KEY, "generation": 1, "attempt": 1}
            await say(play.scene, offer, "CONFIRMED", reference="found")
            assert await known(play, run_id) == [(1, KEY, "CONFIRMED", "found")]

    async def test_a_rerun_begins_with_none_and_the_old_ones_stay_on_record(self) -> None:
        async with self.play("a") as (play, run_id):
            offer = await play.offer()
            await say(play.scene, offer, "DECLARED")
            await play.scene.report(offer, failed(retryable=False))
            await play.scene.kernel.dispatch(RerunRun(play.scene.namespace, run_id, "a"))
            again = await play.offer()
            assert (again.generation, told(again)) == (2, [])
            await say(play.scene, again, "DECLARED")
            await say(play.scene, offer, "CONFIRMED", reference="late")
            assert await known(play, run_id) == [(1, KEY, "CONFIRMED", "late"), (2, KEY, "DECLARED", "")]

    async def test_another_tenant_can_say_nothing(self) -> None:
        async with self.play("a") as (play, run_id):
            offer = await play.offer()
            await say(play.scene, offer, "DECLARED")
            for phase, reference in (("DECLARED", ""), ("CONFIRMED", "x")):
                refusal = await say(play.scene, offer, phase, namespace="other", reference=reference)
                assert isinstance(refusal, Rejection)
                assert refusal.reason is Reason.LEASE_SUPERSEDED
            assert await known(play, run_id) == [(1, KEY, "DECLARED", "")]

    async def test_a_generation_has_so_many_submissions_and_no_more(self) -> None:
        async with self.play("a") as (play, run_id):
            offer = await play.offer()
            batch = [
                command(offer, "DECLARED", f"k{number:03}") for number in range(SUBMISSIONS_PER_STAGE_MAX)
            ]
            await play.scene.kernel.dispatch_many(batch)
            refusal = await say(play.scene, offer, "DECLARED", key="one more")
            assert isinstance(refusal, Rejection)
            assert refusal.reason is Reason.LIMIT_EXCEEDED
            assert await say(play.scene, offer, "WITHDRAWN", key="k000") == SubmissionRecorded(replayed=False)
            assert len(await known(play, run_id)) == SUBMISSIONS_PER_STAGE_MAX

    async def test_they_go_with_their_run(self) -> None:
        async with self.play("a") as (play, run_id):
            offer = await play.offer()
            await say(play.scene, offer, "DECLARED")
            await play.scene.report(offer, completed())
            await play.scene.kernel.dispatch(SequenceEvents())
            play.scene.clock.advance(2 * DAY)
            await play.scene.kernel.dispatch(PurgeHistory(runs=DAY))
            assert await play.scene.backend.queries.get_run("default", run_id, with_outputs=False) is None
            async with play.scene.backend.persistence.begin() as work:
                assert await work.load_submissions([(run_id, 1, 1)]) == []
