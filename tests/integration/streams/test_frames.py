"""Framing: what ends a stream, and what only costs the one item."""

from typing import Any

import grpc

from stageline.v1 import error_pb2, run_pb2, session_pb2, worker_pb2
from stageline_engine import limits
from stageline_engine.model.run import RunState
from tests.support.plane import PlaneServer
from tests.support.raw_worker import RawWorker, credits_item, report_item

INVALID = grpc.StatusCode.INVALID_ARGUMENT
WORK = "/stageline.v1.WorkerService/Work"


async def test_a_bad_item_does_not_end_the_stream(server: PlaneServer) -> None:
    worker = await server.connect("one")
    run_id = await server.create("one")
    offer = await worker.offer()
    token = offer.lease_token
    too_far = worker_pb2.Progress(lease_token=token, progress=run_pb2.StageProgress(fraction=1.5))
    not_json = worker_pb2.Progress(lease_token=token, progress=run_pb2.StageProgress(details=b"{"))
    no_token = worker_pb2.Progress(lease_token=b"?")
    too_many = worker_pb2.LogBatch(lease_token=token, entries=[run_pb2.LogEntry()] * 1001)
    bad = [
        (worker_pb2.WorkerItem(), error_pb2.ERROR_REASON_METHOD_NOT_SERVED),
        (worker_pb2.WorkerItem(usage=worker_pb2.UsageItem()), error_pb2.ERROR_REASON_INVALID_FIELD),
        (worker_pb2.WorkerItem(progress=too_far), error_pb2.ERROR_REASON_INVALID_FIELD),
        (worker_pb2.WorkerItem(progress=not_json), error_pb2.ERROR_REASON_MALFORMED_JSON),
        (worker_pb2.WorkerItem(progress=no_token), error_pb2.ERROR_REASON_INVALID_FIELD),
        (worker_pb2.WorkerItem(logs=too_many), error_pb2.ERROR_REASON_LIMIT_EXCEEDED),
    ]
    sequence = await worker.send(*(item for item, _ in bad), report_item(token))
    for index, (_, reason) in enumerate(bad):
        error = (await worker.next("error")).error
        assert (error.frame_sequence, error.item_index, error.error.reason) == (sequence, index, reason)
    await server.until_run(run_id, RunState.COMPLETED)


async def ended_by(worker: RawWorker, reason: str, code: grpc.StatusCode = INVALID) -> None:
    ending = await worker.ended()
    assert (ending.code, ending.reason) == (code, reason)
    assert ending.item is not None
    assert ending.item.reason == session_pb2.DISCONNECT_REASON_FRAME_INVALID
    assert ending.item.reconnect


async def test_a_wrong_sequence_ends_the_stream(server: PlaneServer) -> None:
    for sequence in (0, 1, 3, 2**63):
        worker = await server.connect("one")
        await worker.send(sequence=sequence)
        await ended_by(worker, "FRAME_INVALID")


async def test_an_acknowledgement_of_the_future_ends_the_stream(server: PlaneServer) -> None:
    worker = await server.connect("one")
    await worker.send(acknowledged_sequence=2**40)
    await ended_by(worker, "FRAME_INVALID")


async def test_a_frame_has_a_size(server: PlaneServer) -> None:
    worker = await server.connect("one")
    await worker.send(report_item(b"", b"x" * (limits.FRAME_BYTES_MAX - 100)))
    await worker.acknowledgement()
    await worker.send(report_item(b"", b"x" * limits.FRAME_BYTES_MAX))
    await ended_by(worker, "FRAME_TOO_LARGE", grpc.StatusCode.RESOURCE_EXHAUSTED)


async def test_a_frame_has_so_many_items(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=1)
    await worker.send(*[credits_item(1)] * limits.FRAME_ITEMS_MAX)
    await worker.ping_pong()
    await worker.send(*[credits_item(1)] * (limits.FRAME_ITEMS_MAX + 1))
    await ended_by(worker, "FRAME_INVALID")


async def test_what_is_no_message_ends_the_stream(server: PlaneServer) -> None:
    raw: Any = server.channel.stream_stream(WORK, response_deserializer=worker_pb2.ServerFrame.FromString)
    hello = worker_pb2.WorkerFrame(sequence=1, items=[worker_pb2.WorkerItem(hello=session_pb2.Hello())])
    hello.items[0].hello.MergeFrom(
        session_pb2.Hello(protocol_version=1, slots=1, stages=server.stages_of("one"))
    )
    for beginning in ([], [hello.SerializeToString()]):
        worker = RawWorker(raw())
        for frame in [*beginning, b"\xff\xff\xff"]:
            await worker.call.write(frame)
        await ended_by(worker, "FRAME_INVALID")


async def test_what_was_reported_before_a_broken_frame_is_acknowledged(server: PlaneServer) -> None:
    worker = await server.connect("one")
    run_id = await server.create("one")
    offer = await worker.offer()
    await worker.report(offer)
    await worker.acknowledgement()
    await worker.send(sequence=99)
    await worker.ended()
    await server.until_run(run_id, RunState.COMPLETED)


async def test_both_sides_ping(server: PlaneServer) -> None:
    worker = await server.connect("one")
    for _ in range(3):
        frame = await worker.next_frame()
        assert not frame.items
    sequence = await worker.send()
    await worker.ping_pong()
    assert worker.frames[-1].acknowledged_sequence == sequence + 1
