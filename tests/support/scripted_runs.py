"""A run service that does what a test tells it to, over real gRPC: for what a client does when a server misbehaves."""

from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

import grpc

from stageline.v1 import error_pb2, event_pb2, run_pb2, run_service_pb2, run_service_pb2_grpc
from tests.support.scripted_server import refusal

RUN_ID = "run-1"


class ScriptedRuns(run_service_pb2_grpc.RunServiceServicer):
    """The server.

    Attributes:
        address: Where it listens, once it was entered.
        failures: How the next calls fail, in order: a status, or a code and a refusal's detail. Then calls succeed.
        requests: Every request that came.
        watches: For each watch, how many events it gets before it breaks, in order. Then watches go to the end.
        repeats: Whether a watch that resumes is sent its last event once more.
        events_count: How many events the run has in all.
        pages: What ListRuns answers, in order.
        tokens: The authorization of each call.
    """

    def __init__(self) -> None:
        self.address = ""
        self.failures: deque[grpc.StatusCode | tuple[grpc.StatusCode, error_pb2.ErrorDetail]] = deque()
        self.requests: list[Any] = []
        self.watches: deque[int] = deque()
        self.repeats = False
        self.events_count = 10
        self.pages: deque[run_service_pb2.ListRunsResponse] = deque()
        self.tokens: list[str] = []
        self._server = grpc.aio.server()

    async def __aenter__(self) -> "ScriptedRuns":
        run_service_pb2_grpc.add_RunServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        await self._server.stop(None)

    async def CreateRun(  # noqa: N802 - as the proto says
        self, request: run_service_pb2.CreateRunRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> run_service_pb2.CreateRunResponse:
        """Create a run, whatever it is of."""
        await self._take(request, context)
        return run_service_pb2.CreateRunResponse(
            run=run_pb2.Run(run_id=RUN_ID, workflow_name=request.workflow_name, workflow_version=1)
        )

    async def GetRun(  # noqa: N802 - as the proto says
        self, request: run_service_pb2.GetRunRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> run_service_pb2.GetRunResponse:
        """Return a run that is complete."""
        await self._take(request, context)
        run = run_pb2.Run(run_id=request.run_id, state=run_pb2.RUN_STATE_COMPLETED)
        run.output.json = b'{"answer": 42}'
        return run_service_pb2.GetRunResponse(run=run)

    async def ListRuns(  # noqa: N802 - as the proto says
        self, request: run_service_pb2.ListRunsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> run_service_pb2.ListRunsResponse:
        """Return the next page."""
        await self._take(request, context)
        return self.pages.popleft()

    async def WatchRun(  # noqa: N802 - as the proto says
        self, request: run_service_pb2.WatchRunRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[run_service_pb2.WatchRunResponse]:
        """Send events, until the end or until this watch breaks."""
        await self._take(request, context)
        left = self.watches.popleft() if self.watches else self.events_count
        first = request.after_sequence + (0 if self.repeats and request.after_sequence else 1)
        for sequence in range(first, self.events_count + 1):
            if left == 0:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
            left -= 1
            is_last = sequence == self.events_count
            kind = "workflow:completed" if is_last else "stage:progress"
            event = event_pb2.Event(run_id=request.run_id, sequence=sequence, type=kind, payload=b"{}")
            yield run_service_pb2.WatchRunResponse(event=event)

    async def _take(self, request: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.requests.append(request)
        metadata = dict(context.invocation_metadata() or ())
        self.tokens.append(str(metadata.get("authorization", "")))
        if not self.failures:
            return
        failure = self.failures.popleft()
        if isinstance(failure, grpc.StatusCode):
            await context.abort(failure, "as the script says")
        else:
            code, detail = failure
            await context.abort_with_status(refusal(detail, code))
