"""A proxy that understands frames: between workers and servers, dropping, delaying and duplicating what its faults say.

Everything but worker streams passes through as bytes. Nothing is renumbered: what a fault does shows on the wire as it
would behind any broken middlebox.
"""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

import grpc

from stageline.v1 import worker_pb2
from stageline_sdk._portal import LoopThread
from tests.chaos.frame_faults import Fault, Frame, FrameFaults

WORK = "/stageline.v1.WorkerService/Work"
# A cancelled stream may look like one that the worker closed in peace; the cancellation is told soon after.
PEACE_SECONDS = 0.25
# Connections of its own for each stream, so that a balancer behind this proxy may spread them.
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 * 1024 * 1024))

Context = grpc.aio.ServicerContext[bytes, bytes]


class FrameProxy(grpc.GenericRpcHandler):
    """Listens on a port of its own; use as a context manager."""

    def __init__(self, upstream: str, faults: FrameFaults) -> None:
        """Takes where the server is, and what happens to frames."""
        self._upstream = upstream
        self.faults = faults
        self.address = ""
        self._loop = LoopThread("frame-proxy")
        self._server: grpc.aio.Server | None = None

    def __enter__(self) -> "FrameProxy":
        self._loop.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.close(self._stop)

    async def _start(self) -> None:
        self._server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def _stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Answers every method: all are streams of bytes on the wire."""
        return grpc.stream_stream_rpc_method_handler(partial(self._relay, handler_call_details.method))

    async def _relay(self, method: str, _: object, context: Context) -> None:
        async with grpc.aio.insecure_channel(self._upstream, options=OPTIONS) as channel:
            call: Any = channel.stream_stream(method)(metadata=_metadata(context))
            upward = asyncio.create_task(self._pass_up(context, call, faulty=method == WORK))
            try:
                await self._pass_down(context, call, faulty=method == WORK)
            finally:
                upward.cancel()
                call.cancel()
                await asyncio.gather(upward, return_exceptions=True)

    async def _pass_up(self, context: Any, call: Any, *, faulty: bool) -> None:
        # A stream that has ended takes nothing more: the other direction tells how it ended.
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            while isinstance(data := await context.read(), bytes):
                for each in await self._hurt(worker_pb2.WorkerFrame, data, faulty=faulty):
                    await call.write(each)
            await hold_up(PEACE_SECONDS)
            if not context.cancelled():
                await call.done_writing()

    async def _pass_down(self, context: Context, call: Any, *, faulty: bool) -> None:
        with suppress(grpc.aio.AioRpcError):
            while isinstance(data := await call.read(), bytes):
                for each in await self._hurt(worker_pb2.ServerFrame, data, faulty=faulty):
                    await context.write(each)
        code, details = await call.code(), await call.details()
        trailing = tuple(await call.trailing_metadata() or ())
        if code is not grpc.StatusCode.OK:
            await context.abort(code, details or "", trailing)
        context.set_trailing_metadata(trailing)

    async def _hurt(self, kind: type[Frame], data: bytes, *, faulty: bool) -> list[bytes]:
        """Returns what goes on of a message: it, nothing, or it twice; late where it is delayed."""
        fault = self.faults.decide(kind.FromString(data)) if faulty else None
        if fault is Fault.DROP:
            return []
        if fault is Fault.DELAY:
            await hold_up(self.faults.delay_seconds())
        return [data, data] if fault is Fault.DUPLICATE else [data]


async def hold_up(seconds: float) -> None:
    """Is the delay that the proxy is there to make."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


def _metadata(context: Context) -> tuple[Any, ...]:
    """What the caller sent with its call, without what gRPC itself adds."""
    return tuple(
        pair
        for pair in context.invocation_metadata() or ()
        if pair[0] not in ("user-agent", "grpc-accept-encoding")
    )
