"""A server that does what a case tells it to: real gRPC on the public protos, without an engine behind it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from stageline.v1 import (
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    error_pb2,
    payload_pb2,
    worker_pb2,
    worker_service_pb2,
    worker_service_pb2_grpc,
    workflow_service_pb2,
    workflow_service_pb2_grpc,
)
from stageline_conformance.messages import DIGEST, LIMITS, VERSION
from stageline_conformance.stream import PATIENCE, ServerStream
from stageline_conformance.violations import ViolationError

CHUNK_BYTES = 64 * 1024
"""How much of a payload comes in one message."""

Abort = grpc.Status
"""What a call is refused with; see `refusal`."""


def refusal(
    code: grpc.StatusCode, reason: "error_pb2.ErrorReason.ValueType", message: str = "told by the suite"
) -> Abort:
    """Return a status as error.proto has it."""
    name = error_pb2.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
    status = status_pb2.Status(code=code.value[0], message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=name, domain="stageline"))
    return rpc_status.to_status(status)


class ScriptedServer(
    worker_service_pb2_grpc.WorkerServiceServicer,
    workflow_service_pb2_grpc.WorkflowServiceServicer,
    artifact_service_pb2_grpc.ArtifactServiceServicer,
):
    """The server.

    Attributes:
        address: Where it listens; the same after a restart.
        registered: The definitions that were registered, in order.
        outputs: What FetchOutputs has, by stage id, as JSON text.
        fetched: The requests of FetchOutputs, in order.
        stored: Payloads by their SHA-256; None where the server stores none. With some, FetchOutputs refers to large outputs.
        stored_under: The leases under which payloads were put, in order.
        refused_count: Registrations that were refused.
        refuse_registration: What registrations are refused with; None while they are not.
        refuse_work: What the next streams are refused with, asked for each; None lets it pass.
    """

    def __init__(self) -> None:
        self.address = ""
        self.registered: list[workflow_service_pb2.RegisterWorkflowRequest] = []
        self.outputs: dict[str, bytes] = {}
        self.fetched: list[worker_service_pb2.FetchOutputsRequest] = []
        self.stored: dict[bytes, bytes] | None = None
        self.stored_under: list[bytes] = []
        self.refused_count = 0
        self.refuse_registration: Abort | None = None
        self.refuse_work: Callable[[], Abort | None] = lambda: None
        self._port = 0
        self._streams: asyncio.Queue[ServerStream] = asyncio.Queue()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen; at the port of before, if there was one."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(self, server)
        workflow_service_pb2_grpc.add_WorkflowServiceServicer_to_server(self, server)
        self._port = server.add_insecure_port(f"127.0.0.1:{self._port}")
        self.address = f"127.0.0.1:{self._port}"
        artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server(self, server)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """End at once: streams break, and connections are refused until `start`."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def next_stream(self) -> ServerStream:
        """Return the next stream that a worker opens, once its first frame has come.

        Raises:
            ViolationError: The worker opens none, or breaks the framing at once.
        """
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                stream = await self._streams.get()
        except TimeoutError:
            raise ViolationError("the worker did not open a stream") from None
        await stream.until(lambda: bool(stream.frames), "the first frame")
        stream.check()
        return stream

    def forget_streams(self) -> None:
        """Pass over streams that nobody asked for."""
        while not self._streams.empty():
            self._streams.get_nowait()

    @property
    def streams_waiting(self) -> int:
        """Streams that nobody asked for yet."""
        return self._streams.qsize()

    async def RegisterWorkflow(  # noqa: N802 - as the proto says
        self,
        request: workflow_service_pb2.RegisterWorkflowRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> workflow_service_pb2.RegisterWorkflowResponse:
        """Take any definition as the one version."""
        if self.refuse_registration is not None:
            self.refused_count += 1
            await context.abort_with_status(self.refuse_registration)
        self.registered.append(request)
        response = workflow_service_pb2.RegisterWorkflowResponse(created=True)
        response.workflow.definition.CopyFrom(request.definition)
        response.workflow.version = VERSION
        response.workflow.digest = DIGEST
        return response

    async def FetchOutputs(  # noqa: N802 - as the proto says
        self,
        request: worker_service_pb2.FetchOutputsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> worker_service_pb2.FetchOutputsResponse:
        """Give one output at a time, so that the worker has to ask for the rest."""
        self.fetched.append(request)
        first, *rest = request.stage_ids
        if first not in self.outputs:
            reason = error_pb2.ERROR_REASON_STAGE_NOT_FOUND
            await context.abort_with_status(refusal(grpc.StatusCode.NOT_FOUND, reason))
        outputs = {first: self._payload(self.outputs[first])}
        return worker_service_pb2.FetchOutputsResponse(outputs=outputs, remaining_stage_ids=rest)

    def _payload(self, text: bytes) -> payload_pb2.Payload:
        if self.stored is None or len(text) <= LIMITS.inline_payload_bytes_max:
            return payload_pb2.Payload(json=text)
        sha256 = hashlib.sha256(text).digest()
        self.stored[sha256] = text
        return payload_pb2.Payload(
            reference=payload_pb2.PayloadReference(sha256=sha256, size_bytes=len(text))
        )

    async def PutArtifact(  # noqa: N802 - as the proto says
        self,
        request_iterator: AsyncIterator[artifact_service_pb2.PutArtifactRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> artifact_service_pb2.PutArtifactResponse:
        """Store a payload, if the case wants it."""
        if self.stored is None:
            reason = error_pb2.ERROR_REASON_METHOD_NOT_SERVED
            await context.abort_with_status(refusal(grpc.StatusCode.UNIMPLEMENTED, reason))
            raise AssertionError("abort raises")
        parts = [part async for part in request_iterator]
        self.stored_under.append(parts[0].header.lease_token)
        content = b"".join(part.chunk for part in parts)
        sha256 = hashlib.sha256(content).digest()
        self.stored[sha256] = content
        artifact = artifact_service_pb2.Artifact(size_bytes=len(content), sha256=sha256)
        return artifact_service_pb2.PutArtifactResponse(artifact=artifact)

    async def GetArtifact(  # noqa: N802 - as the proto says
        self,
        request: artifact_service_pb2.GetArtifactRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[artifact_service_pb2.GetArtifactResponse]:
        """Give a payload back, in small pieces."""
        content = (self.stored or {}).get(request.payload_sha256)
        if content is None:
            reason = error_pb2.ERROR_REASON_PAYLOAD_NOT_FOUND
            await context.abort_with_status(refusal(grpc.StatusCode.NOT_FOUND, reason))
            raise AssertionError("abort raises")
        header = artifact_service_pb2.Artifact(size_bytes=len(content), sha256=request.payload_sha256)
        yield artifact_service_pb2.GetArtifactResponse(header=header)
        for start in range(0, len(content), CHUNK_BYTES):
            yield artifact_service_pb2.GetArtifactResponse(chunk=content[start : start + CHUNK_BYTES])

    async def Work(  # noqa: N802 - as the proto says
        self,
        request_iterator: AsyncIterator[worker_pb2.WorkerFrame],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[worker_pb2.ServerFrame]:
        """Hand the stream to the case."""
        refused = self.refuse_work()
        if refused is not None:
            await context.abort_with_status(refused)
        stream = ServerStream()
        await self._streams.put(stream)
        reader = asyncio.create_task(_read(request_iterator, stream))
        try:
            async for frame in stream.outgoing():
                yield frame
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await stream.closed(in_peace=False)
        code, message = stream.status
        if code is not grpc.StatusCode.OK:
            await context.abort(code, message)


async def _read(frames: AsyncIterator[worker_pb2.WorkerFrame], stream: ServerStream) -> None:
    async for frame in frames:
        await stream.take(frame)
    await stream.closed(in_peace=True)
