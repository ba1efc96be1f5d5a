"""Calls inside the process end as calls over a network do."""

import asyncio
from typing import Any

import grpc
import pytest

from stageline.v1 import worker_pb2, worker_service_pb2, worker_service_pb2_grpc
from stageline_local._channel import InProcessChannel, InProcessServices

FETCH = worker_service_pb2.FetchOutputsRequest
FETCHED = worker_service_pb2.FetchOutputsResponse


class Service(worker_service_pb2_grpc.WorkerServiceServicer):
    """Answers by what the request's namespace says."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.called = asyncio.Event()
        self.seen: list[Any] = []

    async def FetchOutputs(self, request: Any, context: Any) -> Any:  # noqa: N802 - the generated name
        self.seen.append(request)
        self.called.set()
        if request.namespace == "abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing", (("key-bin", b"\0"),))
        if request.namespace == "raise":
            raise RuntimeError("unforeseen")
        if request.namespace == "wait":
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.set()
        return FETCHED(remaining_stage_ids=request.stage_ids)

    async def Work(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        try:
            while (frame := await context.read()) is not grpc.aio.EOF:
                if frame.sequence == 13:
                    await context.abort(grpc.StatusCode.ABORTED, "unlucky")
                await context.write(worker_pb2.ServerFrame(sequence=frame.sequence))
        finally:
            self.ended.set()


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
async def stub(service: Service) -> Any:
    services = InProcessServices()
    server: Any = services
    server.add_registered_method_handlers = lambda *_: None
    worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(service, server)
    return worker_service_pb2_grpc.WorkerServiceStub(InProcessChannel(services))


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_message_is_copied_and_not_shared(stub: Any, service: Service) -> None:
    request = FETCH(stage_ids=["a"])
    answer = await stub.FetchOutputs(request)
    request.stage_ids.append("b")
    assert list(service.seen[0].stage_ids) == list(answer.remaining_stage_ids) == ["a"]


async def test_a_refusal_arrives_with_its_trailers(stub: Any) -> None:
    error = await failure(stub.FetchOutputs(FETCH(namespace="abort")))
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing")
    assert dict(error.trailing_metadata()) == {"key-bin": b"\0"}


async def test_what_a_service_did_not_foresee_is_unknown(stub: Any) -> None:
    error = await failure(stub.FetchOutputs(FETCH(namespace="raise")))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, "RuntimeError: unforeseen")


async def test_a_call_that_takes_too_long_is_ended_on_both_sides(stub: Any, service: Service) -> None:
    error = await failure(stub.FetchOutputs(FETCH(namespace="wait"), timeout=0.01))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(service.ended.wait(), 20)


async def test_a_call_that_is_not_waited_for_any_more_ends(stub: Any, service: Service) -> None:
    call = asyncio.create_task(stub.FetchOutputs(FETCH(namespace="wait")))
    await asyncio.wait_for(service.called.wait(), 20)
    call.cancel()
    await asyncio.wait_for(service.ended.wait(), 20)


async def test_a_stream_goes_both_ways_and_ends_in_peace(stub: Any, service: Service) -> None:
    call = stub.Work()
    for sequence in (1, 2):
        await call.write(worker_pb2.WorkerFrame(sequence=sequence))
        assert (await call.read()).sequence == sequence
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    with pytest.raises(asyncio.InvalidStateError):
        await call.write(worker_pb2.WorkerFrame())


async def test_a_stream_that_the_service_ends_says_why(stub: Any) -> None:
    call = stub.Work()
    await call.write(worker_pb2.WorkerFrame(sequence=13))
    for _ in range(2):
        assert (await failure(call.read())).code() is grpc.StatusCode.ABORTED


async def test_a_stream_that_the_caller_breaks_off_ends_its_handler(stub: Any, service: Service) -> None:
    call = stub.Work()
    await call.write(worker_pb2.WorkerFrame(sequence=1))
    await call.read()
    assert call.cancel()
    assert not call.cancel()
    await asyncio.wait_for(service.ended.wait(), 20)


async def test_calls_cross_threads(stub: Any, service: Service) -> None:
    answer = await asyncio.to_thread(lambda: asyncio.run(stub.FetchOutputs(FETCH(stage_ids=["a"]))))
    assert list(answer.remaining_stage_ids) == ["a"]


async def test_a_method_that_nobody_serves() -> None:
    channel = InProcessChannel(InProcessServices())
    error = await failure(worker_service_pb2_grpc.WorkerServiceStub(channel).FetchOutputs(FETCH()))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
