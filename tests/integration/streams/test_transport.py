"""A stream's two directions, over a real connection."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from stageline.v1 import worker_pb2, worker_service_pb2_grpc
from stageline_server.streams.service import GrpcTransport


class _Holding(worker_service_pb2_grpc.WorkerServiceServicer):
    """Keeps the context of a stream, and leaves the stream open."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def Work(  # type: ignore[override]  # noqa: N802 - the generated name; read goes through the context
        self, request_iterator: AsyncIterator[worker_pb2.WorkerFrame], context: Any
    ) -> None:
        self.opened.set_result(context)
        await asyncio.Event().wait()


async def test_a_stopped_server_reads_as_a_broken_connection() -> None:
    """Of a server that stops, streams learn at any moment, also between two reads."""
    servicer = _Holding()
    server = grpc.aio.server()
    worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = worker_service_pb2_grpc.WorkerServiceStub(channel)
        call = stub.Work()
        await call.write(worker_pb2.WorkerFrame(sequence=1))
        context = await servicer.opened
        await server.stop(None)
        assert await GrpcTransport(context).read() is None
        call.cancel()
