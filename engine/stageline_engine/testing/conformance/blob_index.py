"""Which stored bytes there are: named only when whole, dropped when nothing names them, fenced by leases."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from stageline_engine.commands import JobOffer, RerunRun
from stageline_engine.errors import ConcurrentChangeError
from stageline_engine.model.blob import ArtifactChange, ArtifactRow, Blob, LeaseClaim, PayloadRow
from stageline_engine.ports import BlobIndex
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.conformance.outbox import purge_ended_runs
from stageline_engine.testing.expectations import raises
from stageline_engine.testing.play import Play
from stageline_engine.testing.scene import Scene, completed

DAY = timedelta(days=1)


async def announced(scene: Scene, namespace: str = "default") -> Blob:
    """A blob whose upload has begun."""
    blob = Blob(scene.ids.new_id(), namespace)
    await scene.backend.blob_index.begin(blob, scene.clock.now())
    return blob


async def payload(
    scene: Scene, text: bytes, run_id: UUID | None = None, *, life: timedelta = DAY
) -> PayloadRow:
    """A payload that is stored, as far as the rows go."""
    blob, now = await announced(scene), scene.clock.now()
    row = PayloadRow("default", sha256(text).digest(), len(text), blob.id, now + life)
    await scene.backend.blob_index.keep_payload(row, now, run_id)
    return row


async def artifact(scene: Scene, run_id: UUID, key: str, data: bytes) -> ArtifactRow:
    """An artifact whose bytes are there, and that no row names yet."""
    blob = await announced(scene)
    return ArtifactRow(
        "default", run_id, key, blob.id, "text/plain", len(data), sha256(data).digest(), scene.clock.now()
    )


def claim_of(offer: JobOffer) -> LeaseClaim:
    """What a worker shows of its lease."""
    return LeaseClaim(offer.lease.stage_number, offer.lease.lease_token)


async def wasted(scene: Scene) -> set[UUID]:
    """The blobs whose bytes may go."""
    return {blob.id for blob in await scene.backend.blob_index.waste(scene.clock.now() - DAY, 100)}


class BlobIndexConformance(Conformance):
    """Rows name bytes that are there; bytes go when no row names them; a lease that has ended names nothing."""

    @asynccontextmanager
    async def leased(self) -> AsyncIterator[tuple[Play, JobOffer, BlobIndex]]:
        """Yields a play, a leased job of its run, and the index."""
        async with self.play("a", "b") as (play, _):
            offer = await play.offer()
            yield play, offer, play.scene.backend.blob_index

    async def test_a_payload_is_found_by_its_content_in_its_namespace(self) -> None:
        async with self.scene() as scene:
            index, row = scene.backend.blob_index, await payload(scene, b"[1]")
            assert await index.find_payload("default", row.sha256) == row
            assert await index.find_payload("other", row.sha256) is None
            assert await index.find_payload("default", bytes(32)) is None

    async def test_the_same_payload_twice_is_one_with_the_longer_life(self) -> None:
        async with self.scene() as scene:
            index = scene.backend.blob_index
            first, second = await payload(scene, b"[1]"), await payload(scene, b"[1]", life=2 * DAY)
            assert await index.find_payload("default", first.sha256) == replace(
                first, keep_until=second.keep_until
            )
            assert await wasted(scene) == {second.blob_id}

    async def test_looking_for_a_payload_prolongs_its_life_and_never_shortens_it(self) -> None:
        async with self.scene() as scene:
            index, row = scene.backend.blob_index, await payload(scene, b"[1]")
            later = row.keep_until + DAY
            for wish in (later, row.keep_until):
                found = await index.find_payload("default", row.sha256, wish)
                assert found is not None
                assert found.keep_until == later

    async def test_a_worker_finds_what_its_run_holds_or_it_has_put(self) -> None:
        async with self.leased() as (play, offer, index):
            run_id = offer.lease.run_id
            of_client = await payload(play.scene, b"[1]")
            of_worker = await payload(play.scene, b"[2]", run_id)
            assert await index.find_payload("default", of_client.sha256, run_id=run_id) is None
            assert await index.find_payload("default", of_worker.sha256, run_id=run_id) == of_worker
            assert (
                await index.find_payload("default", of_worker.sha256, run_id=play.scene.ids.new_id()) is None
            )

    async def test_a_payload_that_no_run_refers_to_goes_when_its_time_is_over(self) -> None:
        async with self.leased() as (play, offer, index):
            scene = play.scene
            rows = [await payload(scene, b"[1]"), await payload(scene, b"[2]", offer.lease.run_id)]
            assert await index.expire_payloads(scene.clock.now(), scene.clock.now() + DAY, 10) == 0
            scene.clock.advance(DAY)
            assert await index.expire_payloads(scene.clock.now(), scene.clock.now() + DAY, 1) == 1
            assert await index.expire_payloads(scene.clock.now(), scene.clock.now() + DAY, 10) == 1
            for row in rows:
                assert await index.find_payload("default", row.sha256) is None
            assert await wasted(scene) == {row.blob_id for row in rows}

    async def test_an_upload_that_was_given_up_names_nothing(self) -> None:
        async with self.scene_with_run("a") as (scene, _, run_id):
            index, blob = scene.backend.blob_index, await announced(scene)
            row = await artifact(scene, run_id, "a", b"x")
            scene.clock.advance(2 * DAY)
            assert await wasted(scene) == {blob.id, row.blob_id}
            late = PayloadRow("default", bytes(32), 1, blob.id, scene.clock.now())
            with raises(ConcurrentChangeError):
                await index.keep_payload(late, scene.clock.now())
            with raises(ConcurrentChangeError):
                await index.put_artifact(row, scene.clock.now())
            assert await index.find_payload("default", bytes(32)) is None
            assert await index.get_artifact("default", run_id, "a") is None

    async def test_waste_is_forgotten_once_and_what_is_named_never(self) -> None:
        async with self.scene() as scene:
            index, blob, row = scene.backend.blob_index, await announced(scene), await payload(scene, b"[1]")
            await index.drop(row.blob, scene.clock.now())
            assert await wasted(scene) == set()
            await index.drop(blob, scene.clock.now())
            assert await wasted(scene) == {blob.id}
            await index.forget([blob, row.blob])
            assert await wasted(scene) == set()
            assert await index.find_payload("default", row.sha256) == row

    async def test_an_artifact_is_put_replaced_and_deleted(self) -> None:
        async with self.scene_with_run("a") as (scene, _, run_id):
            index, now = scene.backend.blob_index, scene.clock.now()
            first = await artifact(scene, run_id, "out/a.txt", b"1")
            same = await artifact(scene, run_id, "out/a.txt", b"1")
            other = await artifact(scene, run_id, "out/a.txt", b"2")
            assert await index.put_artifact(first, now) is ArtifactChange.STORED
            assert await index.put_artifact(same, now) is ArtifactChange.UNCHANGED
            assert await index.get_artifact("default", run_id, "out/a.txt") == first
            assert await index.put_artifact(other, now) is ArtifactChange.STORED
            assert await index.get_artifact("default", run_id, "out/a.txt") == other
            assert await wasted(scene) == {first.blob_id}
            assert await index.delete_artifact("default", run_id, "out/a.txt", now) is ArtifactChange.DELETED
            assert await index.delete_artifact("default", run_id, "out/a.txt", now) is ArtifactChange.ABSENT
            assert await wasted(scene) == {first.blob_id, other.blob_id}

    async def test_another_namespaces_artifacts_do_not_exist(self) -> None:
        async with self.scene_with_run("a") as (scene, _, run_id):
            index, now = scene.backend.blob_index, scene.clock.now()
            row = await artifact(scene, run_id, "a", b"1")
            await index.put_artifact(row, now)
            assert await index.get_artifact("other", run_id, "a") is None
            assert list(await index.list_artifacts("other", run_id, limit=9)) == []
            foreign = replace(row, namespace="other")
            assert await index.put_artifact(foreign, now) is ArtifactChange.RUN_NOT_FOUND
            assert await index.delete_artifact("other", run_id, "a", now) is ArtifactChange.RUN_NOT_FOUND
            missing = replace(row, run_id=scene.ids.new_id())
            assert await index.put_artifact(missing, now) is ArtifactChange.RUN_NOT_FOUND

    async def test_artifacts_are_listed_by_key(self) -> None:
        async with self.scene_with_run("a") as (scene, _, run_id):
            index = scene.backend.blob_index
            for key in ("b", "a/2", "a_2", "a/10", "B", "a%"):
                await index.put_artifact(await artifact(scene, run_id, key, key.encode()), scene.clock.now())

            async def keys(**which: str) -> list[str]:
                return [row.key for row in await index.list_artifacts("default", run_id, limit=3, **which)]

            assert await keys() == ["B", "a%", "a/10"]
            assert await keys(after_key="a/10") == ["a/2", "a_2", "b"]
            assert await keys(key_prefix="a/") == ["a/10", "a/2"]
            assert await keys(key_prefix="a%") == ["a%"]

    async def test_a_worker_puts_under_its_lease_and_only_as_long_as_it_lives(self) -> None:
        async with self.leased() as (play, offer, index):
            scene, run_id, now = play.scene, offer.lease.run_id, play.scene.clock.now()
            row = await artifact(scene, run_id, "mine", b"1")
            assert await index.put_artifact(row, now, claim_of(offer)) is ArtifactChange.STORED
            stored = await index.get_artifact("default", run_id, "mine")
            assert stored == replace(row, stage_number=1, stage_id="a", generation=1)
            late = await artifact(scene, run_id, "mine", b"2")
            forged = LeaseClaim(1, scene.ids.new_token())
            assert await index.put_artifact(late, now, forged) is ArtifactChange.LEASE_SUPERSEDED
            await scene.report(offer, completed(1))
            assert await index.put_artifact(late, now, claim_of(offer)) is ArtifactChange.LEASE_SUPERSEDED
            superseded = await index.delete_artifact("default", run_id, "mine", now, claim_of(offer))
            assert superseded is ArtifactChange.LEASE_SUPERSEDED
            assert await index.get_artifact("default", run_id, "mine") == stored

    async def test_a_rerun_takes_away_the_artifacts_of_what_runs_again(self) -> None:
        async with self.leased() as (play, first, index):
            scene, run_id = play.scene, first.lease.run_id
            by_stage = {}
            for number in (1, 2):
                offer = first if number == 1 else await play.offer()
                row = await artifact(scene, run_id, f"of-{offer.stage_id}", b"1")
                await index.put_artifact(row, scene.clock.now(), claim_of(offer))
                by_stage[offer.stage_id] = row
                await scene.report(offer, completed(1))
            by_client = await artifact(scene, run_id, "of-client", b"1")
            await index.put_artifact(by_client, scene.clock.now())
            await scene.kernel.dispatch(RerunRun("default", run_id, "b"))
            kept = [row.key for row in await index.list_artifacts("default", run_id, limit=9)]
            assert kept == ["of-a", "of-client"]
            assert await wasted(scene) == {by_stage["b"].blob_id}

    async def test_a_purged_run_leaves_nothing(self) -> None:
        async with self.leased() as (play, offer, index):
            scene, run_id, now = play.scene, offer.lease.run_id, play.scene.clock.now()
            row = await artifact(scene, run_id, "a", b"1")
            await index.put_artifact(row, now)
            held = await payload(scene, b"[1]", run_id)
            await scene.cancel(run_id)
            await purge_ended_runs(scene)
            assert await index.get_artifact("default", run_id, "a") is None
            assert await index.find_payload("default", held.sha256, run_id=run_id) is None
            assert await wasted(scene) == {row.blob_id}

    async def test_a_run_says_which_version_it_is_pinned_to(self) -> None:
        async with self.scene_with_run("a") as (scene, registered, run_id):
            index = scene.backend.blob_index
            assert await index.pinned_run(run_id) == ("default", "flow", registered.version)
            assert await index.pinned_run(scene.ids.new_id()) is None
