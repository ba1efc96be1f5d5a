"""ArtifactService as any client sees it: streams, refusals, and what a lease allows."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import grpc
import pytest

from stageline.v1 import artifact_service_pb2 as messages
from stageline.v1 import payload_pb2, run_pb2, run_service_pb2
from stageline.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from stageline_engine.blob_upkeep import clean_blobs
from stageline_engine.commands import Completed, HistoryPurged, JobOffer, PurgeHistory, SequenceEvents
from stageline_engine.kernel import Kernel
from stageline_engine.limits import PAYLOAD_BYTES_MAX, PAYLOAD_GRACE, PAYLOAD_INLINE_BYTES_MAX
from stageline_engine.model.stored_payload import StoredPayload
from stageline_engine.testing import VirtualClock
from stageline_server.services.artifact_writer import CHUNK_BYTES_MAX
from stageline_server.streams.tokens import encode_token
from tests.integration.server.running import Refused, Server, documents, refused

HOSTILE = ["", "../a", "a/../b", "/a", "a//b", "a/", "%2e%2e/a", "a\\b", "a\0b", ".", "é", "a" * 513]


def header(**fields: Any) -> messages.PutArtifactRequest:
    """A header that announces one byte, unless it is told otherwise."""
    if not fields.keys() & {"size_bytes", "sha256"}:
        fields["size_bytes"] = 1
    return messages.PutArtifactRequest(header=messages.PutArtifactHeader(**fields))


def chunk(data: bytes) -> messages.PutArtifactRequest:
    return messages.PutArtifactRequest(chunk=data)


def key(run_id: str, name: str = "a") -> messages.ArtifactKey:
    return messages.ArtifactKey(run_id=run_id, key=name)


class Artifacts:
    """The service, of a server with one run."""

    def __init__(self, server: Server, run_id: str) -> None:
        self.server = server
        self.run_id = run_id
        self.stub: Any = ArtifactServiceStub(server.channel)

    async def put(self, *parts: messages.PutArtifactRequest) -> messages.Artifact:
        async def stream() -> AsyncIterator[messages.PutArtifactRequest]:
            for part in parts:
                yield part

        artifact: messages.Artifact = (await self.stub.PutArtifact(stream())).artifact
        return artifact

    async def put_bytes(self, data: bytes, **fields: Any) -> messages.Artifact:
        target = {} if "payload" in fields else {"artifact": key(self.run_id)}
        announced = {"sha256": hashlib.sha256(data).digest()}
        return await self.put(header(**{**target, **announced, **fields}), *([chunk(data)] if data else []))

    async def get(self, **fields: Any) -> tuple[messages.Artifact, bytes]:
        parts = [part async for part in self.stub.GetArtifact(messages.GetArtifactRequest(**fields))]
        assert parts[0].HasField("header")
        assert all(part.HasField("chunk") for part in parts[1:])
        return parts[0].header, b"".join(part.chunk for part in parts[1:])

    async def keys(self, **fields: Any) -> Iterable[str]:
        request = messages.ListArtifactsRequest(**{"run_id": self.run_id, **fields})
        return [each.key.key for each in (await self.stub.ListArtifacts(request)).artifacts]

    async def offer(self) -> JobOffer:
        return (await self.server.lease(1))[0]


@pytest.fixture
async def artifacts(server: Server) -> Artifacts:
    await server.register(documents())
    return Artifacts(server, (await server.create()).run_id)


def payload() -> dict[str, Any]:
    return {"payload": messages.PayloadTarget()}


async def refused_put(artifacts: Artifacts, *parts: messages.PutArtifactRequest) -> Refused:
    told = await refused(artifacts.put(*parts))
    assert await artifacts.keys() == []
    return told


async def test_an_artifact_is_streamed_in_and_out(artifacts: Artifacts) -> None:
    data = b"0123456789" * 200_000
    put = await artifacts.put(
        header(artifact=key(artifacts.run_id), content_type="text/plain", size_bytes=len(data)),
        chunk(data[:CHUNK_BYTES_MAX]),
        chunk(data[CHUNK_BYTES_MAX:]),
    )
    assert (put.size_bytes, put.sha256) == (len(data), hashlib.sha256(data).digest())
    assert put.create_time.seconds
    assert await artifacts.get(artifact=key(artifacts.run_id)) == (put, data)


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_name_that_is_not_canonical_is_refused(artifacts: Artifacts, name: str) -> None:
    told = await refused_put(artifacts, header(artifact=key(artifacts.run_id, name)), chunk(b"x"))
    assert (told.code, told.reason, told.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELD",
        ["artifact.key"],
    )
    found = await refused(artifacts.get(artifact=key(artifacts.run_id, name)))
    assert found.reason == "ARTIFACT_NOT_FOUND"


async def test_a_stream_that_is_out_of_order_is_refused(artifacts: Artifacts) -> None:
    first = header(artifact=key(artifacts.run_id))
    cases = [
        ((chunk(b"x"),), "header"),
        ((), "header"),
        ((first, first), "chunk"),
        ((first, chunk(b"")), "chunk"),
        ((first, chunk(b"x" * (CHUNK_BYTES_MAX + 1))), "chunk"),
        ((header(), chunk(b"x")), "target"),
        ((header(artifact=key("no-uuid")),), "run_id"),
        ((header(artifact=key(artifacts.run_id), sha256=b"short"),), "sha256"),
        ((header(artifact=key(artifacts.run_id), size_bytes=-1),), "size_bytes"),
        ((header(artifact=key(artifacts.run_id), size_bytes=0), chunk(b"x")), "size_bytes"),
        ((header(artifact=key(artifacts.run_id), lease_token=b"forged"),), "lease_token"),
        ((header(artifact=key(artifacts.run_id), content_type="a\r\nb"),), "content_type"),
    ]
    for parts, field in cases:
        told = await refused_put(artifacts, *parts)
        assert (told.reason, told.fields) == ("INVALID_FIELD", [field]), field


async def test_bytes_that_are_not_those_announced_are_refused(artifacts: Artifacts) -> None:
    for announced in ({"size_bytes": 2}, {"sha256": bytes(32)}):
        for target in (payload(), {"artifact": key(artifacts.run_id)}):
            told = await refused_put(artifacts, header(**target, **announced), chunk(b"[1]"))
            assert told.reason == "PAYLOAD_MISMATCH"
            assert {"expected", "actual"} <= told.metadata.keys()


async def test_other_runs_and_namespaces_have_none_of_it(artifacts: Artifacts) -> None:
    await artifacts.put_bytes(b"1")
    nobody = "00000000-0000-7000-8000-000000000000"
    for fields in ({"artifact": key(nobody)}, {"artifact": key(artifacts.run_id), "namespace": "other"}):
        assert (await refused(artifacts.put_bytes(b"2", **fields))).reason == "RUN_NOT_FOUND"
        assert (await refused(artifacts.get(**fields))).reason == "RUN_NOT_FOUND"
        delete = artifacts.stub.DeleteArtifact(messages.DeleteArtifactRequest(**fields))
        assert (await refused(delete)).reason == "RUN_NOT_FOUND"
    assert (await refused(artifacts.keys(namespace="other"))).reason == "RUN_NOT_FOUND"
    stored = await artifacts.put_bytes(b"[1]", **payload())
    told = await refused(artifacts.get(payload_sha256=stored.sha256, namespace="other"))
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "PAYLOAD_NOT_FOUND")


async def test_a_payload_is_json_and_within_its_limit(artifacts: Artifacts) -> None:
    stored = await artifacts.put_bytes(b'{"a":1}', **payload())
    assert await artifacts.get(payload_sha256=stored.sha256) == (stored, b'{"a":1}')
    assert (await refused(artifacts.put_bytes(b"{", **payload()))).reason == "MALFORMED_JSON"
    chunks = [chunk(b" " * CHUNK_BYTES_MAX)] * (PAYLOAD_BYTES_MAX // CHUNK_BYTES_MAX)
    told = await refused(artifacts.put(header(**payload()), *chunks, chunk(b"1")))
    assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE")
    assert told.metadata["limit_bytes"] == str(PAYLOAD_BYTES_MAX)


async def test_a_lease_is_for_its_run_and_its_life(artifacts: Artifacts) -> None:
    server, other = artifacts.server, (await artifacts.server.create()).run_id
    offer = next(each for each in await server.lease() if str(each.lease.run_id) == artifacts.run_id)
    token = encode_token(offer.lease)
    put = await artifacts.put_bytes(b"1", lease_token=token)
    assert put.stage_id == "extract"
    assert (await artifacts.get(artifact=key(artifacts.run_id), lease_token=token))[1] == b"1"
    assert await artifacts.keys(lease_token=token) == ["a"]
    for call in (
        artifacts.put_bytes(b"2", artifact=key(other), lease_token=token),
        artifacts.get(artifact=key(other), lease_token=token),
        artifacts.keys(run_id=other, lease_token=token),
    ):
        assert (await refused(call)).reason == "INVALID_FIELD"
    await server.report(offer, Completed(b"1"))
    for call in (
        artifacts.put_bytes(b"2", lease_token=token),
        artifacts.put_bytes(b"[2]", lease_token=token, **payload()),
        artifacts.get(artifact=key(artifacts.run_id), lease_token=token),
        artifacts.keys(lease_token=token),
        artifacts.stub.DeleteArtifact(
            messages.DeleteArtifactRequest(artifact=key(artifacts.run_id), lease_token=token)
        ),
    ):
        told = await refused(call)
        assert (told.code, told.reason) == (grpc.StatusCode.ABORTED, "LEASE_SUPERSEDED")
    assert (await artifacts.get(artifact=key(artifacts.run_id)))[1] == b"1"


async def test_a_worker_reads_payloads_that_its_run_holds_and_no_others(artifacts: Artifacts) -> None:
    offer = await artifacts.offer()
    token = encode_token(offer.lease)
    of_client = await artifacts.put_bytes(b"[1]", **payload())
    own = await artifacts.put_bytes(b"[2]", lease_token=token, **payload())
    told = await refused(artifacts.get(payload_sha256=of_client.sha256, lease_token=token))
    assert told.reason == "PAYLOAD_NOT_FOUND"
    assert (await artifacts.get(payload_sha256=own.sha256, lease_token=token))[1] == b"[2]"


async def test_an_upload_that_breaks_off_leaves_nothing(artifacts: Artifacts) -> None:
    async def broken() -> AsyncIterator[messages.PutArtifactRequest]:
        yield header(artifact=key(artifacts.run_id), size_bytes=8)
        yield chunk(b"half")
        raise LookupError

    with pytest.raises(asyncio.CancelledError):  # so gRPC says that a sender failed
        await artifacts.stub.PutArtifact(broken())
    assert await artifacts.keys() == []


async def test_artifacts_come_in_pages(artifacts: Artifacts) -> None:
    for name in ("a", "b", "c"):
        await artifacts.put_bytes(b"1", artifact=key(artifacts.run_id, name))
    request = messages.ListArtifactsRequest(run_id=artifacts.run_id, page_size=2)
    first = await artifacts.stub.ListArtifacts(request)
    request.page_token = first.next_page_token
    second = await artifacts.stub.ListArtifacts(request)
    assert [each.key.key for each in (*first.artifacts, *second.artifacts)] == ["a", "b", "c"]
    assert second.next_page_token == ""
    request.key_prefix = "b"
    assert (await refused(artifacts.stub.ListArtifacts(request))).reason == "PAGE_TOKEN_INVALID"


async def test_a_purged_run_takes_its_bytes_along_and_leaves_those_of_others(server: Server) -> None:
    await server.register(documents())
    url = b"x" * PAYLOAD_INLINE_BYTES_MAX
    shared, own = b'{"url":"s' + url + b'"}', b'{"url":"o' + url + b'"}'
    put = server.application.plane.payloads.put
    ids = []
    for text in (shared, shared, own):
        stored = await put("default", text)
        assert isinstance(stored, StoredPayload)
        reference = payload_pb2.PayloadReference(sha256=stored.sha256, size_bytes=stored.size_bytes)
        request = run_service_pb2.CreateRunRequest(
            workflow_name="documents", input=payload_pb2.Payload(reference=reference)
        )
        ids.append((await server.runs.CreateRun(request)).run.run_id)
        await Artifacts(server, ids[-1]).put_bytes(b"same for all")
    kept, *purged = ids
    for run_id in purged:
        await server.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id=run_id))
    ports = server.ports
    clock = VirtualClock(ports.clock.now() + timedelta(seconds=1))
    assert len([entry async for entry in ports.blobs.list()]) == 5
    kernel = Kernel(ports.persistence, ports.registry, clock, ports.ids)
    await kernel.dispatch(SequenceEvents())
    gone = await kernel.dispatch(PurgeHistory(runs=timedelta(0)))
    assert isinstance(gone, HistoryPurged)
    assert {str(run_id) for run_id in gone.run_ids} == set(purged)
    clock.advance(PAYLOAD_GRACE)
    await clean_blobs(ports.blobs, ports.blob_index, clock)
    assert len([entry async for entry in ports.blobs.list()]) == 2
    _, data = await Artifacts(server, kept).get(artifact=key(kept))
    assert data == b"same for all"
    full = await server.get(kept)
    assert full.input.reference.size_bytes == len(shared)
    assert await server.application.plane.payloads.text("default", stored_text(full)) == shared.decode()


def stored_text(run: run_pb2.Run) -> str:
    """What the store keeps in the place of a run's input."""
    return StoredPayload(run.input.reference.sha256, run.input.reference.size_bytes).decode()
