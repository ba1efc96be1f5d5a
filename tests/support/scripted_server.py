"""A server that does what a test tells it to: a real gRPC server on the public protos, without an engine behind it.

It checks the framing of whatever worker connects, in any language; the rest is up to the test:

    async with ScriptedServer() as server:
        ...start a worker at server.address...
        stream = await server.next_stream()
        await stream.welcome()
        await stream.send(offer=an_offer(...))
        report = (await stream.next("report")).report
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from types import TracebackType
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from stageline.v1 import (
    error_pb2,
    limits_pb2,
    payload_pb2,
    session_pb2,
    worker_pb2,
    worker_service_pb2,
    worker_service_pb2_grpc,
    workflow_service_pb2,
    workflow_service_pb2_grpc,
)

DEADLINE = timedelta(seconds=20)

LIMITS = limits_pb2.Limits(
    frame_bytes_max=1024 * 1024,
    inline_payload_bytes_max=128 * 1024,
    payload_bytes_max=256 * 1024,
    log_message_bytes_max=16 * 1024,
    log_entries_per_second_max=1000,
    frame_items_max=1000,
)


def duration(value: timedelta) -> Duration:
    """Return a duration as a message."""
    message = Duration()
    message.FromTimedelta(value)
    return message


def refusal(
    detail: error_pb2.ErrorDetail, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT
) -> grpc.Status:
    """Return a gRPC status with a refusal's details, as error.proto has them."""
    reason = error_pb2.ErrorReason.Name(detail.reason).removeprefix("ERROR_REASON_")
    status = status_pb2.Status(code=code.value[0], message=detail.message)
    info = error_details_pb2.ErrorInfo(reason=reason, domain="stageline", metadata=dict(detail.metadata))
    status.details.add().Pack(info)
    if detail.violations:
        fields = error_details_pb2.BadRequest()
        for violation in detail.violations:
            fields.field_violations.add(field=violation.field, description=violation.description)
        status.details.add().Pack(fields)
    return rpc_status.to_status(status)


class StreamOverError(Exception):
    """The worker ended the stream."""


class ServerStream:
    """The server's side of one worker stream.

    Attributes:
        hello: The worker's Hello.
        credits: The free slots that it told last.
        frames: Every frame that came, in order.
    """

    def __init__(self) -> None:
        self.hello = session_pb2.Hello()
        self.credits = 0
        self.frames: list[worker_pb2.WorkerFrame] = []
        self.sent = 0
        self._items: asyncio.Queue[worker_pb2.WorkerItem | None] = asyncio.Queue()
        self._frame_came = asyncio.Condition()
        self._outgoing: asyncio.Queue[worker_pb2.ServerFrame | None] = asyncio.Queue()
        self._status: tuple[grpc.StatusCode, str] | None = None

    async def welcome(
        self,
        *,
        session_id: str = "session-1",
        resumed: bool = False,
        heartbeat_interval: timedelta = timedelta(seconds=5),
        session_timeout: timedelta = timedelta(seconds=15),
        progress_interval: timedelta = timedelta(seconds=1),
        limits: limits_pb2.Limits = LIMITS,
    ) -> None:
        """Send Welcome, as the first item of the first frame."""
        welcome = session_pb2.Welcome(
            session_id=session_id,
            resumed=resumed,
            server_id="scripted",
            protocol_version=1,
            heartbeat_interval=duration(heartbeat_interval),
            session_timeout=duration(session_timeout),
            progress_interval=duration(progress_interval),
            limits=limits,
        )
        await self.send(welcome=welcome)

    async def send(self, **items: Any) -> None:
        """Send a frame with items, each named by its kind; a list stands for several of one kind. None: a ping."""
        each = [
            worker_pb2.ServerItem(**{kind: one})
            for kind, value in items.items()
            for one in (value if isinstance(value, list) else [value])
        ]
        await self.send_frame(worker_pb2.ServerFrame(items=each))

    async def send_frame(self, frame: worker_pb2.ServerFrame) -> None:
        """Send a frame as it is, but for its numbers when they are not set."""
        self.sent += 1
        frame.sequence = frame.sequence or self.sent
        frame.acknowledged_sequence = len(self.frames)
        await self._outgoing.put(frame)

    async def next(self, kind: str) -> worker_pb2.WorkerItem:
        """Return the worker's next item of a kind, passing over others.

        Raises:
            StreamOverError: The worker ended the stream.
        """
        async with asyncio.timeout(DEADLINE.total_seconds()):
            while (item := await self._items.get()) is not None:
                if item.WhichOneof("item") == kind:
                    return item
        raise StreamOverError

    async def frames_counted(self, count: int) -> None:
        """Wait until so many frames have come."""
        async with asyncio.timeout(DEADLINE.total_seconds()), self._frame_came:
            await self._frame_came.wait_for(lambda: len(self.frames) >= count)

    async def acknowledged(self, sequence: int) -> None:
        """Wait until the worker has acknowledged a frame of ours."""
        async with asyncio.timeout(DEADLINE.total_seconds()), self._frame_came:
            await self._frame_came.wait_for(lambda: self.frames[-1].acknowledged_sequence >= sequence)

    async def end(self, code: grpc.StatusCode = grpc.StatusCode.OK, message: str = "") -> None:
        """End the stream with a status."""
        self._status = (code, message)
        await self._outgoing.put(None)

    async def is_over(self) -> None:
        """Wait until the worker has ended the stream."""
        async with asyncio.timeout(DEADLINE.total_seconds()):
            while await self._items.get() is not None:
                pass

    def kinds(self) -> list[str]:
        """Return the kind of every item that came, in order."""
        return [str(item.WhichOneof("item")) for frame in self.frames for item in frame.items]

    async def take(self, frame: worker_pb2.WorkerFrame) -> None:
        """Check and keep a frame of the worker."""
        before = self.frames[-1].acknowledged_sequence if self.frames else 0
        assert frame.sequence == len(self.frames) + 1, "frames are numbered without gaps"
        assert before <= frame.acknowledged_sequence <= self.sent, "acknowledgements never go back, nor ahead"
        assert frame.ByteSize() <= LIMITS.frame_bytes_max
        assert len(frame.items) <= LIMITS.frame_items_max
        if not self.frames:
            assert frame.items[0].WhichOneof("item") == "hello", "Hello comes first"
            self.hello = frame.items[0].hello
        for item in frame.items:
            if item.WhichOneof("item") == "credits":
                self.credits = item.credits.free_slots
        async with self._frame_came:
            self.frames.append(frame)
            self._frame_came.notify_all()
        for item in frame.items:
            await self._items.put(item)

    async def over(self) -> None:
        """The worker has ended its side, and so ours ends too."""
        await self._items.put(None)
        await self._outgoing.put(None)

    async def outgoing(self) -> AsyncIterator[worker_pb2.ServerFrame]:
        """Yield what is to be sent until `end`."""
        while (frame := await self._outgoing.get()) is not None:
            yield frame

    @property
    def status(self) -> tuple[grpc.StatusCode, str]:
        """How the stream ends."""
        return self._status or (grpc.StatusCode.OK, "")


class ScriptedServer(
    worker_service_pb2_grpc.WorkerServiceServicer, workflow_service_pb2_grpc.WorkflowServiceServicer
):
    """The server.

    Attributes:
        address: Where it listens, once it was entered.
        registered: The definitions that were registered, in order.
        outputs: What FetchOutputs has, by stage id, as JSON text.
        fetched: The stage ids of each call of FetchOutputs.
        refuse_registration: Set it to refuse registrations as invalid, with this detail.
    """

    def __init__(self, port: int = 0) -> None:
        self.address = ""
        self.registered: list[workflow_service_pb2.RegisterWorkflowRequest] = []
        self.outputs: dict[str, bytes] = {}
        self.fetched: list[list[str]] = []
        self.refuse_registration: error_pb2.ErrorDetail | None = None
        self._port = port
        self._streams: asyncio.Queue[ServerStream] = asyncio.Queue()
        self._server = grpc.aio.server()

    async def __aenter__(self) -> "ScriptedServer":
        worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(self, self._server)
        workflow_service_pb2_grpc.add_WorkflowServiceServicer_to_server(self, self._server)
        self._port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        self.address = f"127.0.0.1:{self._port}"
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        await self._server.stop(None)

    async def next_stream(self) -> ServerStream:
        """Return the next stream that a worker opens, once its first frame has come."""
        async with asyncio.timeout(DEADLINE.total_seconds()):
            stream = await self._streams.get()
        await stream.frames_counted(1)
        return stream

    async def RegisterWorkflow(  # noqa: N802 - as the proto says
        self,
        request: workflow_service_pb2.RegisterWorkflowRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> workflow_service_pb2.RegisterWorkflowResponse:
        """Take any definition as version 1."""
        if self.refuse_registration is not None:
            await context.abort_with_status(refusal(self.refuse_registration))
        self.registered.append(request)
        response = workflow_service_pb2.RegisterWorkflowResponse(created=True)
        response.workflow.definition.CopyFrom(request.definition)
        response.workflow.version = 1
        response.workflow.digest = bytes(32)
        return response

    async def FetchOutputs(  # noqa: N802 - as the proto says
        self,
        request: worker_service_pb2.FetchOutputsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> worker_service_pb2.FetchOutputsResponse:
        """Give one output at a time, so that the caller has to ask for the rest."""
        self.fetched.append(list(request.stage_ids))
        first, *rest = request.stage_ids
        return worker_service_pb2.FetchOutputsResponse(
            outputs={first: payload_pb2.Payload(json=self.outputs[first])}, remaining_stage_ids=rest
        )

    async def Work(  # noqa: N802 - as the proto says
        self,
        request_iterator: AsyncIterator[worker_pb2.WorkerFrame],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[worker_pb2.ServerFrame]:
        """Hand the stream to the test."""
        stream = ServerStream()
        await self._streams.put(stream)
        reader = asyncio.create_task(_read(request_iterator, stream))
        try:
            async for frame in stream.outgoing():
                yield frame
        finally:
            reader.cancel()
        code, message = stream.status
        if code is not grpc.StatusCode.OK:
            await context.abort(code, message)


async def _read(frames: AsyncIterator[worker_pb2.WorkerFrame], stream: ServerStream) -> None:
    try:
        async for frame in frames:
            await stream.take(frame)
    finally:
        await stream.over()
