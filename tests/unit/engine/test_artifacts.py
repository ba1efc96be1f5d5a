"""Artifacts in the engine: streamed, whole or not at all, under a canonical name, within limits."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest

from stageline_engine.artifact_store import Announced, ArtifactStore, Place
from stageline_engine.blob_upkeep import clean_blobs, terms_at
from stageline_engine.blobs import chunked, closing, put_bytes
from stageline_engine.limits import (
    ARTIFACT_BYTES_MAX,
    ARTIFACT_KEY_LENGTH_MAX,
    CONTENT_TYPE_LENGTH_MAX,
    PAYLOAD_BYTES_MAX,
    PAYLOAD_GRACE,
    UPLOAD_TIME_MAX,
)
from stageline_engine.model.blob import ArtifactRow, Blob, LeaseClaim
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing import Scene, VirtualClock, workflow


@pytest.fixture
async def place(scene: Scene) -> Place:
    """Where a client puts an artifact of a run."""
    await scene.register(workflow("flow", "a"))
    return Place("default", await scene.create("flow"), "out/a.bin")


async def put(scene: Scene, place: Place, data: bytes, announced: Announced | None = None) -> ArtifactRow:
    row = await scene.artifacts.put(place, announced or Announced(), chunked(data))
    assert isinstance(row, ArtifactRow)
    return row


async def read(scene: Scene, place: Place) -> bytes:
    found = await scene.artifacts.open(place)
    assert not isinstance(found, Rejection)
    async with closing(found[1]) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def left(scene: Scene) -> int:
    """How many blobs are in the store after it was cleaned."""
    await clean_blobs(scene.blobs, scene.backend.blob_index, scene.clock)
    return len([entry async for entry in scene.blobs.list()])


@pytest.mark.parametrize("data", [b"", b"\0\xff", b"x" * 700_000])
async def test_what_was_put_is_got(scene: Scene, place: Place, data: bytes) -> None:
    digest = hashlib.sha256(data).digest()
    row = await put(scene, place, data, Announced("text/plain", len(data), digest))
    assert (row.size_bytes, row.sha256, row.content_type) == (len(data), digest, "text/plain")
    assert await read(scene, place) == data


async def test_other_bytes_replace_it_and_the_same_change_nothing(scene: Scene, place: Place) -> None:
    first = await put(scene, place, b"1")
    scene.clock.advance(UPLOAD_TIME_MAX)
    assert await put(scene, place, b"1") == first
    assert (await put(scene, place, b"2")).blob_id != first.blob_id
    assert await read(scene, place) == b"2"
    assert await left(scene) == 1


@pytest.mark.parametrize(
    ("announced", "word"),
    [(Announced(size_bytes=2), "3 bytes"), (Announced(sha256=bytes(32)), f"SHA-256 {'00' * 32}")],
)
async def test_bytes_that_are_not_those_announced_are_refused(
    scene: Scene, place: Place, announced: Announced, word: str
) -> None:
    refused = await scene.artifacts.put(place, announced, chunked(b"abc"))
    assert isinstance(refused, Rejection)
    assert refused.reason is Reason.PAYLOAD_MISMATCH
    assert word in refused.message
    assert isinstance(await scene.artifacts.open(place), Rejection)
    assert await left(scene) == 0


async def test_more_bytes_than_allowed_are_refused_in_the_middle(scene: Scene, place: Place) -> None:
    scene.artifacts = ArtifactStore(
        scene.blobs, scene.backend.blob_index, scene.clock, scene.ids, bytes_max=10
    )
    assert ARTIFACT_BYTES_MAX > PAYLOAD_BYTES_MAX
    await put(scene, place, b"x" * 10)
    refused = await scene.artifacts.put(place, Announced(), chunked(b"x" * 1000, chunk_bytes_max=11))
    assert isinstance(refused, Rejection)
    assert refused.reason is Reason.PAYLOAD_TOO_LARGE
    assert refused.metadata == {"field": "artifact", "limit_bytes": "10", "actual_bytes": "11"}
    assert await read(scene, place) == b"x" * 10


async def test_a_stream_that_breaks_off_leaves_what_was_there(scene: Scene, place: Place) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"2"
        raise LookupError

    await put(scene, place, b"1")
    with pytest.raises(LookupError):
        await scene.artifacts.put(place, Announced(), broken())
    assert await read(scene, place) == b"1"
    assert await left(scene) == 1


@pytest.mark.parametrize("key", ["", "../other", "a/../../b", "/a", "a%2f..", "a\\b", "a//b", "a\0b", "é"])
async def test_hostile_names_are_refused_and_reach_nothing(scene: Scene, place: Place, key: str) -> None:
    there = replace(place, key=key)
    for answer in (
        await scene.artifacts.put(there, Announced(), chunked(b"x")),
        await scene.artifacts.delete(there),
    ):
        assert isinstance(answer, Rejection)
        assert answer.reason is Reason.INVALID_FIELD
        assert answer.violations[0].field == "artifact.key"
    found = await scene.artifacts.open(there)
    assert isinstance(found, Rejection)
    assert found.reason is Reason.ARTIFACT_NOT_FOUND
    assert await left(scene) == 0


async def test_names_and_types_have_a_length(scene: Scene, place: Place) -> None:
    longest = replace(place, key="k" * ARTIFACT_KEY_LENGTH_MAX)
    await put(scene, longest, b"x", Announced("t" * CONTENT_TYPE_LENGTH_MAX))
    for there, announced in (
        (replace(place, key="k" * (ARTIFACT_KEY_LENGTH_MAX + 1)), Announced()),
        (place, Announced("t" * (CONTENT_TYPE_LENGTH_MAX + 1))),
        (place, Announced("text/plain\r\nX: y")),
    ):
        refused = await scene.artifacts.put(there, announced, chunked(b"x"))
        assert isinstance(refused, Rejection)
        assert refused.reason is Reason.INVALID_FIELD


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"run_id": UUID(int=7)}, Reason.RUN_NOT_FOUND),
        ({"namespace": "other"}, Reason.RUN_NOT_FOUND),
        ({"lease": LeaseClaim(1, UUID(int=7))}, Reason.LEASE_SUPERSEDED),
    ],
)
async def test_who_may_not_put_leaves_nothing(
    scene: Scene, place: Place, change: dict[str, object], reason: Reason
) -> None:
    there = replace(place, **change)  # type: ignore[arg-type]
    for answer in (
        await scene.artifacts.put(there, Announced(), chunked(b"x")),
        await scene.artifacts.delete(there),
    ):
        assert isinstance(answer, Rejection)
        assert answer.reason is reason
    assert await left(scene) == 0


async def test_an_upload_that_a_crash_left_is_removed_when_its_time_is_over(scene: Scene) -> None:
    blob = Blob(scene.ids.new_id(), "default")
    await scene.backend.blob_index.begin(blob, scene.clock.now())
    await put_bytes(scene.blobs, blob.key, b"half of what was to come")
    scene.clock.advance(UPLOAD_TIME_MAX)
    assert await left(scene) == 1
    scene.clock.advance(UPLOAD_TIME_MAX / 1000)
    assert await left(scene) == 0


async def test_a_step_removes_so_many_and_says_that_there_are_more(scene: Scene, place: Place) -> None:
    for number in range(5):
        await put(scene, place, b"%d" % number)
    index = scene.backend.blob_index
    steps = [await clean_blobs(scene.blobs, index, scene.clock, limit=3) for _ in range(2)]
    assert [(step.blobs, step.more) for step in steps] == [(3, True), (1, False)]
    assert await read(scene, place) == b"4"


def test_what_is_old_enough_follows_from_the_time() -> None:
    now = VirtualClock().now()
    terms = terms_at(now)
    assert terms.now == now
    assert (terms.keep_until - now, now - terms.written_before) == (PAYLOAD_GRACE, UPLOAD_TIME_MAX)
