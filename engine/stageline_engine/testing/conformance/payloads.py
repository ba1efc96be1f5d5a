"""Large payloads through whole runs: stored apart, held to their schemas, and kept as long as a run refers to them."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from stageline_engine.blob_upkeep import clean_blobs
from stageline_engine.blobs import get_bytes
from stageline_engine.commands import (
    Completed,
    CreateRun,
    ResumeStage,
    StageResumed,
    StillWaiting,
    SuspendCondition,
)
from stageline_engine.errors import BlobNotFoundError
from stageline_engine.limits import PAYLOAD_BYTES_MAX, PAYLOAD_GRACE, PAYLOAD_INLINE_BYTES_MAX
from stageline_engine.model.run import RunState
from stageline_engine.model.stored_payload import StoredPayload, is_reference, reference_in
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.conformance.outbox import purge_ended_runs
from stageline_engine.testing.definitions import stage
from stageline_engine.testing.expectations import raises
from stageline_engine.testing.play import batch_stage
from stageline_engine.testing.scene import Scene

OBJECT = '{"type":"object"}'
TOKEN = b"a resume token"


def large(letter: str = "x", size: int = PAYLOAD_INLINE_BYTES_MAX + 1) -> bytes:
    """A JSON text of a size, over the inline limit unless said otherwise."""
    return b'"' + letter.encode() * (size - 2) + b'"'


async def stored(scene: Scene, text: bytes, run_id: UUID | None = None) -> StoredPayload:
    """Stores a payload and returns its reference, as somebody else would send it."""
    reference = await scene.payloads.put("default", text, run_id=run_id)
    assert isinstance(reference, StoredPayload)
    return StoredPayload(reference.sha256, reference.size_bytes)


async def cleaned(scene: Scene) -> Sequence[str]:
    """Cleans up, and returns the keys of what is left in the store."""
    while (await clean_blobs(scene.blobs, scene.backend.blob_index, scene.clock)).more:
        pass
    return [entry.key async for entry in scene.blobs.list()]


class PayloadConformance(Conformance):
    """What is over the inline limit is as good as what is not."""

    async def test_a_payload_at_the_limit_is_inline_and_one_above_is_stored_apart(self) -> None:
        async with self.play("a") as (play, _):
            at = await play.scene.create("flow", large(size=PAYLOAD_INLINE_BYTES_MAX))
            above = await play.scene.create("flow", large())
            texts = {run_id: (await play.scene.details(run_id)).payload.input for run_id in (at, above)}
            assert texts[at].encode() == large(size=PAYLOAD_INLINE_BYTES_MAX)
            assert reference_in(texts[above]) == await stored(play.scene, large())

    async def test_large_payloads_go_through_a_run(self) -> None:
        async with self.play("a", "b") as (play, _):
            scene = play.scene
            run_id = await scene.create("flow", large("i"))
            offers = {offer.lease.run_id: offer for offer in await play.offers()}
            offer = offers[run_id]
            assert offer.run_input is not None
            assert is_reference(offer.run_input)
            assert (await scene.payloads.resolved(offer)).run_input == large("i").decode()
            assert (await scene.report(offer, Completed(large("o")))).note == ""
            offer = await play.offer()
            assert len(offer.outputs["a"]) < PAYLOAD_INLINE_BYTES_MAX
            assert (await scene.payloads.resolved(offer)).outputs == {"a": large("o").decode()}
            await scene.report(offer, Completed(large("o")))
            assert await play.run_state(run_id) is RunState.COMPLETED
            assert (await play.payload(run_id, "workflow:completed"))["output_omitted"] is True

    async def test_what_is_sent_by_reference_is_held_to_its_schema(self) -> None:
        typed = stage("a", output_schema=OBJECT)
        async with self.play(typed, input_schema='{"type":["string","object"]}') as (play, run_id):
            scene = play.scene
            refused = await scene.try_create("flow", await stored(scene, b"[1]"))
            assert isinstance(refused, Rejection)
            assert refused.reason is Reason.INVALID_INPUT
            accepted = await scene.try_create("flow", await stored(scene, large()))
            assert not isinstance(accepted, Rejection)
            wrong, right = await play.offers()
            for offer, text in ((wrong, b"[1]"), (right, b'{"n":1}')):
                reference = await stored(scene, text, offer.lease.run_id)
                note = (await scene.report(offer, Completed(reference))).note
                assert ("is not of type" in note) == (offer is wrong)
            assert await play.run_state(run_id) is RunState.FAILED
            assert await play.run_state(accepted.run_id) is RunState.COMPLETED

    async def test_a_large_inline_payload_is_held_to_its_schema_and_not_kept_where_it_breaks_it(self) -> None:
        async with self.play(stage("a", output_schema=OBJECT)) as (play, run_id):
            recorded = await play.scene.report(await play.offer(), Completed(large()))
            assert "is not of type" in recorded.note
            assert await play.run_state(run_id) is RunState.FAILED
            assert await cleaned(play.scene) == []

    async def test_what_is_no_json_or_too_large_is_refused_by_its_name(self) -> None:
        async with self.play("a") as (play, _):
            cases = (
                (b"[" * (PAYLOAD_INLINE_BYTES_MAX + 1), Reason.MALFORMED_JSON),
                (large(size=PAYLOAD_BYTES_MAX + 1), Reason.PAYLOAD_TOO_LARGE),
            )
            for text, reason in cases:
                for answer in (
                    await play.scene.try_create("flow", text),
                    await play.scene.payloads.put("default", text),
                ):
                    assert isinstance(answer, Rejection)
                    assert answer.reason is reason
            assert await cleaned(play.scene) == []

    async def test_a_reference_to_nothing_is_refused(self) -> None:
        async with self.play("a") as (play, run_id):
            nothing = StoredPayload(bytes(32), 5)
            refused = await play.scene.try_create("flow", nothing)
            assert isinstance(refused, Rejection)
            assert (refused.reason, refused.metadata["sha256"]) == (Reason.PAYLOAD_NOT_FOUND, "00" * 32)
            recorded = await play.scene.report(await play.offer(), Completed(nothing))
            assert "not stored" in recorded.note
            assert await play.run_state(run_id) is RunState.FAILED

    async def test_a_reference_with_another_size_is_refused(self) -> None:
        async with self.play("a") as (play, _):
            reference = await stored(play.scene, b"[1]")
            refused = await play.scene.try_create("flow", StoredPayload(reference.sha256, 4))
            assert isinstance(refused, Rejection)
            assert refused.reason is Reason.PAYLOAD_MISMATCH

    async def test_a_reference_is_of_its_namespace_only(self) -> None:
        async with self.play("a") as (play, _):
            scene = play.scene
            elsewhere = await scene.payloads.put("other", large())
            assert isinstance(elsewhere, StoredPayload)
            foreign = StoredPayload(elsewhere.sha256, elsewhere.size_bytes)
            refused = await scene.try_create("flow", foreign)
            assert isinstance(refused, Rejection)
            assert refused.reason is Reason.PAYLOAD_NOT_FOUND

    async def test_a_worker_refers_to_what_its_run_holds_and_to_nothing_else(self) -> None:
        async with self.play("a") as (play, _):
            scene = play.scene
            await scene.create("flow", large("i"))
            of_first, of_second = await play.offers()
            holds = of_first if of_first.run_input and is_reference(of_first.run_input) else of_second
            other = of_second if holds is of_first else of_first
            reference = await stored(scene, large("i"))
            assert "not stored" in (await scene.report(other, Completed(reference))).note
            assert (await scene.report(holds, Completed(reference))).note == ""

    async def test_text_that_looks_like_a_reference_is_no_payload(self) -> None:
        async with self.play("a") as (play, _):
            text = bytes(await stored(play.scene, large()))
            refused = await play.scene.try_create("flow", text)
            assert isinstance(refused, Rejection)
            assert refused.reason is Reason.MALFORMED_JSON

    async def test_suspended_states_and_resume_outcomes_may_be_large(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            scene = play.scene
            condition = SuspendCondition(hashlib.sha256(TOKEN).digest())
            await play.suspend(state=large("s"), conditions=(condition,))
            offer = await play.check_after(timedelta(seconds=30))
            assert (await scene.payloads.resolved(offer)).suspended_state == large("s").decode()
            assert (await scene.report(offer, StillWaiting(state=large("t")))).note == ""
            offer = await play.check_after(timedelta(seconds=30))
            assert (await scene.payloads.resolved(offer)).suspended_state == large("t").decode()
            await scene.report(offer, StillWaiting())
            command = ResumeStage("default", run_id, "batch", TOKEN, Completed(large("o")))
            for replayed in (False, True):
                resumed = await scene.kernel.dispatch(command)
                assert isinstance(resumed, StageResumed)
                assert resumed.replayed is replayed
            [item] = (await scene.details(run_id)).stages
            assert item.result is not None
            assert await scene.payloads.text("default", item.result.output or "") == large("o").decode()

    async def test_the_same_large_request_twice_is_one_run(self) -> None:
        async with self.play("a") as (play, _):
            command = CreateRun("default", "flow", large(), idempotency_key="once")
            first, second = [await play.scene.kernel.dispatch(command) for _ in range(2)]
            assert not isinstance(first, Rejection)
            assert not isinstance(second, Rejection)
            assert (first.run_id, second.replayed) == (second.run_id, True)

    async def test_what_a_run_refers_to_is_kept_and_the_rest_goes_after_the_grace(self) -> None:
        async with self.play("a") as (play, _):
            scene = play.scene
            run_id = await scene.create("flow", large("i"))
            await stored(scene, large("u"))
            assert len(await cleaned(scene)) == 2
            for _ in range(3):
                scene.clock.advance(PAYLOAD_GRACE)
                assert len(await cleaned(scene)) == 1
            text = (await scene.details(run_id)).payload.input
            assert await scene.payloads.text("default", text) == large("i").decode()
            await scene.cancel(run_id)
            await purge_ended_runs(scene)
            for _ in range(2):
                scene.clock.advance(PAYLOAD_GRACE)
            assert await cleaned(scene) == []

    async def test_a_worker_that_dies_between_upload_and_report_leaves_nothing_to_be_seen(self) -> None:
        async with self.play("a") as (play, run_id):
            scene, offer = play.scene, await play.offer()
            await stored(scene, large(), offer.lease.run_id)
            [item] = (await scene.details(run_id)).stages
            assert item.result is None
            scene.clock.advance(PAYLOAD_GRACE)
            assert await cleaned(scene) == []

    async def test_a_payload_that_goes_just_before_the_commit_is_missed_and_its_neighbour_not_hurt(
        self,
    ) -> None:
        async with self.play("a") as (play, _):
            scene = play.scene
            reference = await stored(scene, large())
            looked_at = StoredPayload(reference.sha256, reference.size_bytes, checked=True)
            scene.clock.advance(PAYLOAD_GRACE)
            await cleaned(scene)
            batch = [CreateRun("default", "flow", text) for text in (looked_at, b"{}")]
            lost, neighbour = (await scene.kernel.dispatch_many(batch)).results
            assert isinstance(lost, Rejection)
            assert lost.reason is Reason.PAYLOAD_NOT_FOUND
            assert not isinstance(neighbour, Rejection)

    async def test_bytes_are_removed_only_after_their_row(self) -> None:
        async with self.play("a") as (play, _):
            scene = play.scene
            await stored(scene, large())
            [entry] = [entry async for entry in scene.blobs.list()]
            assert await get_bytes(scene.blobs, entry.key) == large()
            scene.clock.advance(PAYLOAD_GRACE)
            await scene.backend.blob_index.expire_payloads(scene.clock.now(), scene.clock.now(), 10)
            assert await get_bytes(scene.blobs, entry.key) == large()
            await cleaned(scene)
            with raises(BlobNotFoundError):
                await get_bytes(scene.blobs, entry.key)
