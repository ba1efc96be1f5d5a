"""The blob store goes away and comes back: nothing half-written, nothing lost, small work goes on."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import replace

import grpc
import pytest

from stageline.v1 import artifact_service_pb2 as messages
from stageline.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from stageline_engine.adapters.memory import MemoryBlobStore
from stageline_engine.commands import Completed, JobReportRecorded, ReportJob
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.limits import PAYLOAD_INLINE_BYTES_MAX
from stageline_server.stores import memory_ports
from tests.integration.server.running import Server, documents, refused, running
from tests.waiting import eventually

LARGE = b'"' + b"x" * PAYLOAD_INLINE_BYTES_MAX + b'"'


class Flaky(MemoryBlobStore):
    """A store that is away while it is told to be."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = True
        self.refused = 0

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> int:
        if self.is_away:
            self.refused += 1
            raise StorageUnavailableError("the store is away")
        return await super().put(key, chunks)


@pytest.fixture
async def store() -> Flaky:
    return Flaky()


@pytest.fixture
async def server(store: Flaky) -> AsyncIterator[Server]:
    async with running(replace(memory_ports(), blobs=store)) as started:
        await started.register(documents())
        yield started


async def test_a_client_is_told_to_try_again_and_nothing_is_left(server: Server, store: Flaky) -> None:
    run = await server.create()

    async def parts() -> AsyncIterator[messages.PutArtifactRequest]:
        place = messages.ArtifactKey(run_id=run.run_id, key="a")
        yield messages.PutArtifactRequest(header=messages.PutArtifactHeader(artifact=place, size_bytes=1))
        yield messages.PutArtifactRequest(chunk=b"x")

    stub: ArtifactServiceStub = ArtifactServiceStub(server.channel)
    told = await refused(stub.PutArtifact(parts()))  # type: ignore[arg-type]
    assert (told.code, told.reason, told.retry) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", True)
    assert "store" in told.message
    store.is_away = False
    assert (await stub.PutArtifact(parts())).artifact.size_bytes == 1  # type: ignore[arg-type, misc]
    assert len([entry async for entry in store.list()]) == 1


async def test_a_report_waits_for_the_store_and_others_do_not_wait_for_it(
    server: Server, store: Flaky
) -> None:
    await server.create()
    await server.create()
    large, small = await server.lease()
    answers: dict[str, asyncio.Future[JobReportRecorded | BaseException]] = {
        name: asyncio.get_running_loop().create_future() for name in ("large", "small")
    }
    for name, offer, output in (("large", large, LARGE), ("small", small, b"1")):
        lease = offer.lease
        server.application.plane.report(
            ReportJob(
                offer.namespace, lease.run_id, lease.stage_number, lease.lease_token, Completed(output)
            ),
            answers[name].set_result,
        )
    assert not isinstance(await answers["small"], BaseException)

    async def was_refused() -> bool:
        return store.refused >= 2

    await eventually(was_refused, what="two tries at the store")
    assert not answers["large"].done()
    store.is_away = False
    recorded = await answers["large"]
    assert isinstance(recorded, JobReportRecorded)
    assert recorded.note == ""
    assert len([entry async for entry in store.list()]) == 1
