"""WorkerService: the stream, what workers fetch beside it, and the calls of workers that have none."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from stageline.v1 import error_pb2, worker_pb2, worker_service_pb2, worker_service_pb2_grpc
from stageline_engine import limits
from stageline_server.auth.grants import current_grant
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import Refusal, RefusedError, abort, answering, invalid_field, refusal_of
from stageline_server.mapping.failures import cut
from stageline_server.mapping.fields import namespace_of
from stageline_server.mapping.payloads import payload_message
from stageline_server.streams.endings import malformed
from stageline_server.streams.extensions import extend_leases
from stageline_server.streams.item_batch import ItemBatch
from stageline_server.streams.items import some_ids
from stageline_server.streams.one_shot import OneShotLeases
from stageline_server.streams.session import WorkSession
from stageline_server.streams.tokens import LeaseToken, decode_token

OUTPUT_OVERHEAD_BYTES = 256
"""Room that one output takes in an answer beside its own bytes: its key and the tags."""

OUTPUTS_PER_READ = 16
"""Outputs read at once: at their largest about two frames full."""


class GrpcTransport:
    """The two directions of one gRPC stream."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Takes the call's context."""
        self._context = context

    async def read(self) -> worker_pb2.WorkerFrame | None:
        """Returns the next frame, or None when the worker has closed its side or the connection is broken.

        Raises:
            StreamEndedError: What came is no frame.
        """
        try:
            frame = await self._context.read()
        except DecodeError as error:
            raise malformed(error) from None
        except grpc.aio.UsageError:  # The call was ours to make, and was made wrongly.
            raise
        except grpc.aio.BaseError:  # This server has stopped: no connection is left.
            return None
        return frame if isinstance(frame, worker_pb2.WorkerFrame) else None

    async def write(self, frame: worker_pb2.ServerFrame) -> None:
        """Sends a frame."""
        await self._context.write(frame)


class WorkerServicer(worker_service_pb2_grpc.WorkerServiceServicer):
    """Serves workers; all state is the plane's."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane to work with."""
        self._plane = plane
        self._leases = OneShotLeases(plane)

    async def Work(  # type: ignore[override]  # noqa: N802 - the generated name; read and write go through the context
        self,
        request_iterator: AsyncIterator[worker_pb2.WorkerFrame],
        context: grpc.aio.ServicerContext[worker_pb2.WorkerFrame, worker_pb2.ServerFrame],
    ) -> None:
        """Serves one stream."""
        try:
            session = WorkSession(self._plane, GrpcTransport(context))
            unsubscribe = current_grant().on_end(lambda: session.close("UNAUTHENTICATED"))
            try:
                end = await session.run()
            finally:
                unsubscribe()
        except Exception as error:  # noqa: BLE001 - becomes the status of the stream
            await abort(context, refusal_of(error))
        if end is not None:
            reason = error_pb2.ErrorReason.Name(end.detail.reason).removeprefix("ERROR_REASON_")
            await abort(context, Refusal(reason, end.detail.message, dict(end.detail.metadata)))

    @answering
    async def LeaseJobs(  # noqa: N802 - the generated name
        self, request: worker_service_pb2.LeaseJobsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> worker_service_pb2.LeaseJobsResponse:
        """Leases jobs to a worker without a stream."""
        return await self._leases.lease(request)

    @answering
    async def ReportJobs(  # noqa: N802 - the generated name
        self, request: worker_service_pb2.ReportJobsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> worker_service_pb2.ReportJobsResponse:
        """Takes reports, and items about jobs that are still held."""
        return await ItemBatch(self._plane, self._leases).take(request)

    @answering
    async def ExtendLeases(  # noqa: N802 - the generated name
        self, request: worker_service_pb2.ExtendLeasesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> worker_service_pb2.ExtendLeasesResponse:
        """Renews leases that LeaseJobs gave."""
        return await extend_leases(self._plane, request)

    @answering
    async def FetchOutputs(  # noqa: N802 - the generated name
        self, request: worker_service_pb2.FetchOutputsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> worker_service_pb2.FetchOutputsResponse:
        """Returns outputs of earlier stages of the lease's run, as many as fit into a frame."""
        namespace = namespace_of(request.namespace)
        token = await self._live(namespace, request.lease_token)
        if not 1 <= len(request.stage_ids) <= limits.STAGES_PER_WORKFLOW_MAX:
            raise invalid_field("stage_ids", f"must be 1 to {limits.STAGES_PER_WORKFLOW_MAX} ids")
        numbers = await self._numbers(namespace, token, request.stage_ids)
        return await self._outputs(namespace, token, numbers)

    async def _live(self, namespace: str, raw: bytes) -> LeaseToken:
        token = decode_token(raw)
        if token is None:
            raise invalid_field("lease_token", "is malformed")
        queries = self._plane.ports.queries
        if not await queries.lease_is_live(namespace, token.run_id, token.stage_number, token.secret):
            raise RefusedError(
                Refusal("LEASE_SUPERSEDED", "The lease is not the live one of its job any more.")
            )
        return token

    async def _numbers(self, namespace: str, token: LeaseToken, stage_ids: Any) -> dict[str, int]:
        """Stage numbers by id, of stages in groups before the lease's own."""
        details = await self._plane.ports.queries.get_run(namespace, token.run_id, with_outputs=False)
        stages = details.stages if details else ()
        group = next(
            (each.stage.group_number for each in stages if each.stage.number == token.stage_number), 0
        )
        known = {each.stage.stage_id: each.stage.number for each in stages if each.stage.group_number < group}
        for stage_id in stage_ids:
            if stage_id not in known:
                told = cut(stage_id, limits.NAME_LENGTH_MAX)
                facts = {"stage_id": told, "valid_stage_ids": some_ids(known)}
                raise RefusedError(Refusal("STAGE_NOT_FOUND", f"There is no earlier stage {told!r}.", facts))
        return {stage_id: known[stage_id] for stage_id in stage_ids}

    async def _outputs(
        self, namespace: str, token: LeaseToken, numbers: dict[str, int]
    ) -> worker_service_pb2.FetchOutputsResponse:
        """Reads a few at a time, so that no more is held in memory than goes into the answer."""
        response = worker_service_pb2.FetchOutputsResponse()
        waiting, room = list(numbers.items()), limits.FRAME_BYTES_MAX
        while waiting:
            some, waiting = waiting[:OUTPUTS_PER_READ], waiting[OUTPUTS_PER_READ:]
            chosen = [number for _, number in some]
            outputs = await self._plane.ports.queries.read_outputs(namespace, token.run_id, chosen)
            for position, (stage_id, number) in enumerate(some):
                if number not in outputs:
                    continue  # it was lost: whoever asked must not take anything else for it
                payload = payload_message(outputs[number])
                room -= payload.ByteSize() + OUTPUT_OVERHEAD_BYTES
                if room < 0 and response.outputs:
                    response.remaining_stage_ids.extend(name for name, _ in [*some[position:], *waiting])
                    return response
                response.outputs[stage_id].CopyFrom(payload)
        return response
