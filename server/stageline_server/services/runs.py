"""RunService: starting, reading and changing runs."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import grpc

from stageline.v1 import run_pb2, run_service_pb2_grpc
from stageline.v1 import run_service_pb2 as messages
from stageline_engine import limits
from stageline_engine.model.run import RunState
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import (
    Refusal,
    RefusedError,
    accepted,
    answering,
    error_detail,
    invalid_field,
    refusal_of,
    streaming,
)
from stageline_server.mapping.fields import namespace_of, out_of_range, page_size_of, run_id_of
from stageline_server.mapping.page_tokens import page_token, position_of
from stageline_server.mapping.run_messages import run_message
from stageline_server.mapping.to_commands import (
    cancel_run_command,
    create_run_command,
    filter_binding,
    run_filter,
)
from stageline_server.mapping.to_protos import event_message
from stageline_server.services.run_annotations import RunAnnotations
from stageline_server.services.run_changes import RunChanges
from stageline_server.services.run_events import RunLog
from stageline_server.services.run_logs import RunLogReader
from stageline_server.services.run_reader import RunReader
from stageline_server.shutdown import Shutdown

Context = grpc.aio.ServicerContext[Any, Any]


class RunService(run_service_pb2_grpc.RunServiceServicer):
    """Serves runs; all state is the plane's."""

    def __init__(self, plane: ControlPlane, shutdown: Shutdown) -> None:
        """Takes the plane to work with, and what says that the server drains."""
        self._plane = plane
        self._queries = plane.ports.queries
        self._reader = RunReader(plane)
        self._logs = RunLogReader(plane, self._reader, shutdown)
        self._annotations = RunAnnotations(plane, self._reader)
        self._changes = RunChanges(plane, self._reader)
        self._shutdown = shutdown

    @answering
    async def CreateRun(
        self, request: messages.CreateRunRequest, context: Context
    ) -> messages.CreateRunResponse:
        """Creates a run."""
        return await self._create(request, namespace_of(request.namespace))

    @answering
    async def BatchCreateRuns(
        self, request: messages.BatchCreateRunsRequest, context: Context
    ) -> messages.BatchCreateRunsResponse:
        """Creates many runs; each is taken or refused by itself."""
        namespace = namespace_of(request.namespace)
        count = len(request.requests)
        if count == 0:
            raise invalid_field("requests", "is empty")
        if count > limits.RUNS_PER_REQUEST_MAX:
            facts = {
                "limit_name": "requests",
                "limit": str(limits.RUNS_PER_REQUEST_MAX),
                "actual": str(count),
            }
            message = (
                f"{count} requests in one batch, limit {limits.RUNS_PER_REQUEST_MAX}. Send several batches."
            )
            raise RefusedError(Refusal("LIMIT_EXCEEDED", message, facts))
        for index, item in enumerate(request.requests):
            if item.namespace and item.namespace != namespace:
                raise invalid_field(f"requests.{index}.namespace", f"must be empty or {namespace!r}")
        results = await asyncio.gather(*(self._create_one(item, namespace) for item in request.requests))
        return messages.BatchCreateRunsResponse(results=results)

    async def _create(self, request: messages.CreateRunRequest, namespace: str) -> messages.CreateRunResponse:
        config = await self._reader.config(request.config, namespace) if request.HasField("config") else None
        created = accepted(await self._plane.create_run(create_run_command(request, namespace, config)))
        if created.run is not None:
            return messages.CreateRunResponse(run=run_message(created.run, dict(request.labels)))
        run = await self._reader.basic(namespace, created.run_id)
        return messages.CreateRunResponse(run=run, replayed=True)

    async def _create_one(
        self, request: messages.CreateRunRequest, namespace: str
    ) -> messages.BatchCreateRunsResult:
        try:
            created = await self._create(request, namespace)
        except Exception as error:  # noqa: BLE001 - the answer of this item alone
            return messages.BatchCreateRunsResult(error=error_detail(refusal_of(error)))
        return messages.BatchCreateRunsResult(created=created)

    @answering
    async def GetRun(self, request: messages.GetRunRequest, context: Context) -> messages.GetRunResponse:
        """Returns one run."""
        namespace, run_id = namespace_of(request.namespace), run_id_of(request.run_id)
        basic = request.view == run_pb2.RUN_VIEW_BASIC
        read = self._reader.basic if basic else self._reader.full
        return messages.GetRunResponse(run=await read(namespace, run_id))

    @answering
    async def ListRuns(
        self, request: messages.ListRunsRequest, context: Context
    ) -> messages.ListRunsResponse:
        """Lists runs, the newest first."""
        which, size = run_filter(request), page_size_of(request.page_size)
        binding = filter_binding(which)
        before = position_of(request.page_token, binding, UUID)
        full = request.view == run_pb2.RUN_VIEW_FULL
        limit = min(size, limits.FULL_RUNS_PER_PAGE_MAX) if full else size
        page = await self._queries.list_runs(which, before=before, limit=limit)
        runs = (
            [await self._reader.full(run.namespace, run.id) for run in page.runs]
            if full
            else [run_message(run, dict(page.labels[run.id])) for run in page.runs]
        )
        token = page_token(binding, page.next_before) if page.next_before else ""
        return messages.ListRunsResponse(runs=runs, next_page_token=token)

    @answering
    async def CancelRun(
        self, request: messages.CancelRunRequest, context: Context
    ) -> messages.CancelRunResponse:
        """Cancels a run that has not ended."""
        command = cancel_run_command(request)
        done = accepted(await self._plane.cancel_run(command))
        if done.state is not RunState.CANCELLED:
            facts = {"run_id": str(command.run_id), "state": done.state.value}
            message = f"Run {command.run_id} is {done.state.value} and can not be cancelled any more."
            raise RefusedError(Refusal("RUN_NOT_CANCELLABLE", message, facts))
        return messages.CancelRunResponse(run=await self._reader.basic(command.namespace, command.run_id))

    @streaming
    async def WatchRun(
        self, request: messages.WatchRunRequest, context: Context
    ) -> AsyncGenerator[messages.WatchRunResponse, None]:
        """Streams the events of a run until it has ended."""
        namespace, run_id = namespace_of(request.namespace), run_id_of(request.run_id)
        log = RunLog(self._queries, namespace, run_id)
        await log.open(request.after_sequence)
        async for event in log.follow(request.after_sequence, self._plane.hub, self._shutdown):
            message = event_message(event, namespace, log.workflow_name)
            yield messages.WatchRunResponse(event=message)

    @answering
    async def ListRunEvents(
        self, request: messages.ListRunEventsRequest, context: Context
    ) -> messages.ListRunEventsResponse:
        """Lists events of a run, by sequence."""
        namespace, run_id = namespace_of(request.namespace), run_id_of(request.run_id)
        size = page_size_of(request.page_size)
        if request.after_sequence < 0:
            raise out_of_range("after_sequence", "0 or more", request.after_sequence)
        binding = ("ListRunEvents", namespace, str(run_id), request.after_sequence)
        log = RunLog(self._queries, namespace, run_id)
        await log.open(0)
        after = position_of(request.page_token, binding, int) or request.after_sequence
        events, _ = await log.read(after, size)
        return messages.ListRunEventsResponse(
            events=[event_message(event, namespace, log.workflow_name) for event in events],
            next_page_token=page_token(binding, events[-1].sequence) if len(events) == size else "",
        )

    @answering
    async def RerunRun(
        self, request: messages.RerunRunRequest, context: Context
    ) -> messages.RerunRunResponse:
        """Runs an ended run again from the group of a stage on."""
        return messages.RerunRunResponse(run=await self._changes.rerun(request))

    @answering
    async def ResumeStage(
        self, request: messages.ResumeStageRequest, context: Context
    ) -> messages.ResumeStageResponse:
        """Ends the wait of a suspended stage from outside."""
        return messages.ResumeStageResponse(run=await self._changes.resume(request))

    @answering
    async def AnnotateRun(
        self, request: messages.AnnotateRunRequest, context: Context
    ) -> messages.AnnotateRunResponse:
        """Keeps remarks about a run."""
        return await self._annotations.annotate(request)

    @answering
    async def ListAnnotations(
        self, request: messages.ListAnnotationsRequest, context: Context
    ) -> messages.ListAnnotationsResponse:
        """Lists annotations of a run, the oldest first."""
        return await self._annotations.page(request)

    @answering
    async def ListRunLogs(
        self, request: messages.ListRunLogsRequest, context: Context
    ) -> messages.ListRunLogsResponse:
        """Lists log lines of a run, in the order of storing."""
        return await self._logs.page(request)
