"""How a session begins, and what is refused at once."""

from typing import Any

import grpc
import pytest

from stageline.v1 import error_pb2, session_pb2, worker_pb2
from stageline_engine import limits
from tests.support.plane import PlaneServer

Reason = error_pb2.ErrorReason
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
NOT_FOUND = grpc.StatusCode.NOT_FOUND
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def stages(name: str = "one", version: int = 1, **fields: Any) -> session_pb2.WorkerStages:
    return session_pb2.WorkerStages(workflow_name=name, workflow_version=version, **fields)


REFUSALS: dict[str, tuple[dict[str, Any], grpc.StatusCode, str]] = {
    "a newer protocol": ({"protocol_version": 2}, PRECONDITION, "PROTOCOL_VERSION_UNSUPPORTED"),
    "no protocol": ({"protocol_version": 0}, PRECONDITION, "PROTOCOL_VERSION_UNSUPPORTED"),
    "no slots": ({"slots": 0}, EXHAUSTED, "LIMIT_EXCEEDED"),
    "too many slots": ({"slots": limits.SLOTS_PER_SESSION_MAX + 1}, EXHAUSTED, "LIMIT_EXCEEDED"),
    "too many labels": (
        {"labels": {f"l{number}": "" for number in range(limits.LABELS_MAX + 1)}},
        EXHAUSTED,
        "LIMIT_EXCEEDED",
    ),
    "no stages": ({"stages": []}, NOT_FOUND, "WORKFLOW_NOT_FOUND"),
    "too many stages": ({"stages": [stages()] * 1001}, EXHAUSTED, "LIMIT_EXCEEDED"),
    "an unknown workflow": ({"stages": [stages("no-such")]}, NOT_FOUND, "WORKFLOW_NOT_FOUND"),
    "a workflow that is no name": ({"stages": [stages("\0" * 9)]}, NOT_FOUND, "WORKFLOW_NOT_FOUND"),
    "an unknown version": ({"stages": [stages(version=2)]}, NOT_FOUND, "WORKFLOW_NOT_FOUND"),
    "no version": ({"stages": [stages(version=0)]}, NOT_FOUND, "WORKFLOW_NOT_FOUND"),
    "a negative version": ({"stages": [stages(version=-1)]}, NOT_FOUND, "WORKFLOW_NOT_FOUND"),
    "an unknown stage": ({"stages": [stages(stage_ids=["no-such"])]}, NOT_FOUND, "STAGE_NOT_FOUND"),
    "another digest": ({"stages": [stages(workflow_digest=b"\1" * 32)]}, INVALID, "INVALID_FIELD"),
    "a namespace that is none": ({"namespace": "Not A\0Name"}, INVALID, "INVALID_FIELD"),
    "another's namespace": ({"namespace": "other"}, NOT_FOUND, "WORKFLOW_NOT_FOUND"),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_bad_hello_is_refused_with_its_reason(server: PlaneServer, case: str) -> None:
    fields, code, reason = REFUSALS[case]
    stream = server.open_stream()
    hello = session_pb2.Hello(**{"protocol_version": 1, "slots": 1, "stages": [stages()], **fields})
    await stream.send(worker_pb2.WorkerItem(hello=hello))
    ending = await stream.ended()
    assert (ending.code, ending.reason) == (code, reason)
    assert ending.item is not None
    assert not ending.item.reconnect
    assert ending.item.error.reason == Reason.Value(f"ERROR_REASON_{reason}")
    version = reason == "PROTOCOL_VERSION_UNSUPPORTED"
    assert ending.item.reason == (
        session_pb2.DISCONNECT_REASON_PROTOCOL_VERSION
        if version
        else session_pb2.DISCONNECT_REASON_HELLO_REFUSED
    )
    assert await server.ports.sessions.list("default", include_ended=True, limit=10) == []


async def test_a_stream_begins_with_hello(server: PlaneServer) -> None:
    for items in ([], [worker_pb2.WorkerItem(credits=session_pb2.Credits(free_slots=1))]):
        stream = server.open_stream()
        await stream.send(*items)
        ending = await stream.ended()
        assert (ending.code, ending.reason) == (INVALID, "FRAME_INVALID")


async def test_a_stream_that_says_nothing_and_closes_is_refused(server: PlaneServer) -> None:
    stream = server.open_stream()
    await stream.half_close()
    assert (await stream.ended()).reason == "FRAME_INVALID"


async def test_welcome_tells_the_session_intervals_and_limits(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=3, identity=session_pb2.WorkerIdentity(name="w\0" + "x" * 999))
    settings = server.plane.settings
    assert not worker.welcome.resumed
    assert worker.welcome.server_id == server.plane.server_id
    assert worker.welcome.heartbeat_interval.ToTimedelta() == settings.heartbeat_interval
    assert worker.welcome.session_timeout.ToTimedelta() == settings.session_timeout
    assert worker.welcome.progress_interval.ToTimedelta() == limits.PROGRESS_INTERVAL
    assert worker.welcome.limits.frame_bytes_max == limits.FRAME_BYTES_MAX
    (row,) = await server.ports.sessions.list("default", limit=10)
    assert (str(row.id), row.slots) == (worker.session_id, 3)
    assert len(row.worker_name) == limits.LABEL_VALUE_LENGTH_MAX


async def test_a_refused_entry_hurts_no_other(server: PlaneServer) -> None:
    given = [stages(stage_ids=["only", "no-such"]), stages("chain"), stages("no-such")]
    worker = await server.connect(stages=given)
    errors = [(await worker.next("error")).error for _ in range(2)]
    assert [error.error.reason for error in errors] == [
        Reason.ERROR_REASON_STAGE_NOT_FOUND,
        Reason.ERROR_REASON_WORKFLOW_NOT_FOUND,
    ]
    assert {(error.frame_sequence, error.item_index) for error in errors} == {(1, 0)}
    assert errors[1].error.metadata["workflow_name"] == "no-such"
    await server.create("one")
    await server.create("chain")
    assert (await worker.offer()).workflow_name == "chain"
    await worker.ping_pong()
    assert not worker.waiting("offer")


async def test_a_digest_that_is_right_is_taken(server: PlaneServer) -> None:
    workflow = await server.ports.registry.get("default", "one")
    assert workflow is not None
    await server.connect(stages=[stages(workflow_digest=bytes.fromhex(workflow.digest))])


async def test_hello_comes_once(server: PlaneServer) -> None:
    worker = await server.connect("one")
    sequence = await worker.send(worker_pb2.WorkerItem(hello=session_pb2.Hello()))
    error = (await worker.next("error")).error
    assert (error.frame_sequence, error.item_index) == (sequence, 0)
    assert error.error.reason == Reason.ERROR_REASON_FRAME_INVALID
    await worker.ping_pong()
