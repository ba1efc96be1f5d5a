"""FetchOutputs: what an offer had no room for."""

from typing import Any
from uuid import UUID

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from stageline.v1 import job_pb2, worker_service_pb2
from stageline_engine import limits
from stageline_engine.testing.definitions import workflow
from stageline_server.errors import DETAILS_KEY
from tests.support.plane import PlaneServer
from tests.support.raw_worker import RawWorker, credits_item, report_item

STAGES = [f"part-{number:02}" for number in range(20)]
OUTPUT = b'"' + b"x" * (limits.PAYLOAD_INLINE_BYTES_MAX - 2) + b'"'


async def joined(server: PlaneServer) -> tuple[RawWorker, job_pb2.JobOffer]:
    """A worker that holds the stage after twenty with the largest outputs that there can be."""
    await server.register(workflow("wide", STAGES, "join", "end"))
    worker = await server.connect("wide", slots=20)
    await server.create("wide")
    for offer in await worker.offers(20):
        await worker.send(report_item(offer.lease_token, OUTPUT), credits_item(1))
    return worker, await worker.offer()


async def fetch(server: PlaneServer, *stage_ids: str, token: bytes, **fields: Any) -> Any:
    request = worker_service_pb2.FetchOutputsRequest(lease_token=token, stage_ids=stage_ids, **fields)
    return await server.stub.FetchOutputs(request)


async def test_outputs_come_in_pages(server: PlaneServer) -> None:
    _, offer = await joined(server)
    assert list(offer.completed_stage_ids) == STAGES
    assert offer.ByteSize() < limits.FRAME_BYTES_MAX
    assert len(offer.outputs) == 1
    wanted, pages = STAGES, []
    while wanted:
        response = await fetch(server, *wanted, token=offer.lease_token)
        assert response.ByteSize() <= limits.FRAME_BYTES_MAX
        assert set(response.outputs) == set(wanted) - set(response.remaining_stage_ids)
        assert {output.json for output in response.outputs.values()} == {OUTPUT}
        pages.append(sorted(response.outputs))
        assert list(response.remaining_stage_ids) == wanted[len(pages[-1]) :]
        wanted = list(response.remaining_stage_ids)
    assert [stage_id for page in pages for stage_id in page] == STAGES
    assert len(pages) == 3


REFUSALS: dict[str, tuple[list[str], dict[str, Any], grpc.StatusCode, str]] = {
    "itself": (["join"], {}, grpc.StatusCode.NOT_FOUND, "STAGE_NOT_FOUND"),
    "a later stage": (["end"], {}, grpc.StatusCode.NOT_FOUND, "STAGE_NOT_FOUND"),
    "an unknown stage": (["x" * 99_999], {}, grpc.StatusCode.NOT_FOUND, "STAGE_NOT_FOUND"),
    "no stages": ([], {}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    "too many stages": (["part-00"] * 2001, {}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    "a bad token": (STAGES, {"token": b"x"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    "a strange token": (
        STAGES,
        {"token": b"\1" + b"x" * 16 + b"\0\0\0\1" + b"x" * 16},
        grpc.StatusCode.ABORTED,
        "LEASE_SUPERSEDED",
    ),
    "another's namespace": (STAGES, {"namespace": "other"}, grpc.StatusCode.ABORTED, "LEASE_SUPERSEDED"),
    "no namespace": (STAGES, {"namespace": "\0"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
}


async def test_what_is_refused(server: PlaneServer) -> None:
    worker, offer = await joined(server)
    for case, (stage_ids, fields, code, reason) in REFUSALS.items():
        given = {"token": offer.lease_token, **fields}
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await fetch(server, *stage_ids, **given)
        assert (raised.value.code(), reason_of(raised.value)) == (code, reason), case
    await server.cancel(UUID(offer.run_id))
    await worker.next("directive")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await fetch(server, "part-00", token=offer.lease_token)
    assert reason_of(raised.value) == "LEASE_SUPERSEDED"


def reason_of(error: grpc.aio.AioRpcError) -> str:
    raw = dict(error.trailing_metadata() or ())[DETAILS_KEY]
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(raw).details[0].Unpack(info)
    return str(info.reason)
