"""The asynchronous client: starts runs, reads them, follows them."""

import asyncio
import inspect
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel

from stageline.v1 import (
    run_pb2,
    run_service_pb2,
    workflow_service_pb2,
)
from stageline_sdk._client_artifacts import RunArtifacts
from stageline_sdk._client_changes import RunChanges
from stageline_sdk._client_tokens import Tokens
from stageline_sdk._client_upkeep import Upkeep
from stageline_sdk._decode import decode_log_line, decode_run, decode_workflow, result_of
from stageline_sdk._definition import definition_of
from stageline_sdk._watch import RunWatch
from stageline_sdk._wire import to_duration, to_payload, to_timestamp
from stageline_sdk.built_workflow import BuiltWorkflow
from stageline_sdk.errors import DeadlineExceededError
from stageline_sdk.runs import Event, LogLine, RegisteredWorkflow, Run, RunResult, RunStatus

EventCallback = Callable[[Event], object | Awaitable[object]]
AnyWorkflow = BuiltWorkflow[Any, Any]

_PAGE_SIZE_MAX = 1000

LOG_WAIT = timedelta(seconds=10)
"""How long a server holds its answer back while a log that is followed has no new line."""

LAST_LINES_WAIT = timedelta(seconds=1)


class Client(RunArtifacts, RunChanges, Upkeep, Tokens):
    """Speaks to a Stageline server, from asynchronous code. `SyncClient` is the same for scripts.

    It connects at the first call, over one channel, in the loop that runs then. A call that finds the server away is
    tried again for a while; calls that change something carry a request id, so that a repetition has no second effect.

    Example:
        async with Client("127.0.0.1:7460") as client:
            result = await client.run_and_wait(document_processor, {"url": "https://example.org/"})
            print(result.output)
    """

    async def create_run(
        self,
        workflow: AnyWorkflow | str,
        input: Any = None,  # noqa: A002 - the word of the domain
        *,
        config: Mapping[str, BaseModel | Mapping[str, Any]] | None = None,
        priority: int = 5,
        labels: Mapping[str, str] | None = None,
        version: int = 0,
        request_id: str | None = None,
        start: datetime | timedelta | None = None,
    ) -> Run:
        """Start a run.

        Args:
            workflow: The workflow, or its name. It must be registered: a worker that serves it does that.
            input: The run's input: a pydantic model, or JSON values. None, the default, sends `{}`.
            config: For each stage id, that stage's config. Stages that are left out have their defaults.
            priority: 0 to 100, higher first. Default 5.
            labels: To find the run by.
            version: The version of the workflow. 0, the default, means the latest.
            request_id: Of calls with one id only the first has an effect, and all return its run. Default: a new one.
            start: When to start it: a time, or how long from now, at most 366 days ahead. Until then the run is PENDING. None,
                the default, and a time that has passed, mean at once. A time without a zone is local time.

        Raises:
            ConfigError: The config does not fit the models of the workflow's stages (when the workflow was given).
            ValueError: Input or config holds something that JSON cannot show.
            NotFoundError: No worker has registered such a workflow yet.
            InvalidArgumentError: The input does not fit the workflow's schema; `field_violations` says where. Or the start is too
                far ahead.
            ResourceExhaustedError: Input or config is too large.
            AlreadyExistsError: The request id was used for another request.
            UnavailableError: The server could not be reached.
        """
        plain_config = (
            None if config is None else {stage_id: _plain(values) for stage_id, values in config.items()}
        )
        if plain_config and not isinstance(workflow, str):
            workflow.validate_config(plain_config)
        request = run_service_pb2.CreateRunRequest(
            namespace=self._namespace,
            request_id=request_id or str(uuid.uuid4()),
            workflow_name=workflow if isinstance(workflow, str) else workflow.name,
            workflow_version=version,
            input=await self._payload({} if input is None else input),
            config=None if plain_config is None else to_payload(plain_config),
            priority=priority,
            labels=labels or {},
            scheduled_start_time=to_timestamp(start) if isinstance(start, datetime) else None,
            start_delay=to_duration(start) if isinstance(start, timedelta) else None,
        )
        return decode_run((await self._call(self._runs.CreateRun, request)).run)

    async def get_run(self, run_id: str) -> Run:
        """Return a whole run: input, config, output and stages included.

        Raises:
            NotFoundError: There is no such run in this namespace.
            UnavailableError: The server could not be reached.
        """
        request = run_service_pb2.GetRunRequest(
            namespace=self._namespace, run_id=run_id, view=run_pb2.RUN_VIEW_FULL
        )
        return await self._run((await self._call(self._runs.GetRun, request)).run)

    async def list_runs(
        self,
        *,
        workflow: AnyWorkflow | str = "",
        status: Sequence[RunStatus | str] = (),
        labels: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[Run]:
        """Yield runs, the newest first, without their inputs, outputs and stages. Pages are fetched as needed.

        Args:
            workflow: Only runs of this workflow.
            status: Only runs in one of these.
            labels: Only runs that have all of these.
            created_after: Only runs created then or later.
            created_before: Only runs created before.
            limit: At most so many. Default: all.

        Raises:
            ValueError: There is no such status.
            UnavailableError: The server could not be reached.
        """
        request = run_service_pb2.ListRunsRequest(
            namespace=self._namespace,
            workflow_name=workflow if isinstance(workflow, str) else workflow.name,
            states=[_run_state(each) for each in status],
            labels=labels or {},
            created_after=to_timestamp(created_after),
            created_before=to_timestamp(created_before),
        )
        left = limit
        while left is None or left > 0:
            request.page_size = 0 if left is None else min(left, _PAGE_SIZE_MAX)
            response = await self._call(self._runs.ListRuns, request)
            for message in response.runs if left is None else response.runs[:left]:
                yield decode_run(message)
            left = None if left is None else left - len(response.runs)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    async def cancel_run(self, run_id: str, reason: str = "", *, request_id: str | None = None) -> Run:
        """Cancel a run that has not ended. Its stages are told to stop; cancelling it again changes nothing.

        Raises:
            NotFoundError: There is no such run in this namespace.
            FailedPreconditionError: The run is COMPLETED or FAILED.
            UnavailableError: The server could not be reached.
        """
        request = run_service_pb2.CancelRunRequest(
            namespace=self._namespace,
            request_id=request_id or str(uuid.uuid4()),
            run_id=run_id,
            reason=reason,
        )
        return decode_run((await self._call(self._runs.CancelRun, request)).run)

    async def watch_run(self, run_id: str, *, after_sequence: int = 0) -> AsyncGenerator[Event]:
        """Yield a run's events, those that exist first and then new ones live, until the run has ended.

        When the connection breaks, it goes on where it was: no event comes twice, none is missed.

        Args:
            run_id: The run.
            after_sequence: Only events after this one. Default: all.

        Raises:
            NotFoundError: There is no such run in this namespace.
            UnavailableError: The server could not be reached for as long as `outage_max`.
        """
        watch = RunWatch(self._runs, self._connection, namespace=self._namespace, outage_max=self._outage_max)
        async with aclosing(watch.events(run_id, after_sequence)) as events:
            async for event in events:
                yield event

    async def wait_for_run(
        self,
        run_id: str,
        *,
        on_event: EventCallback | None = None,
        timeout: timedelta | None = None,  # noqa: ASYNC109 - a convenience that says what goes on after it
    ) -> RunResult:
        """Wait until a run has ended, and return how. Nothing is polled: the server tells.

        Args:
            run_id: The run.
            on_event: Called with each event of the run, from its first; may be an `async def`.
            timeout: How long to wait at most. Default: without limit.

        Raises:
            NotFoundError: There is no such run in this namespace.
            DeadlineExceededError: The time is over. The run goes on.
            UnavailableError: The server could not be reached for as long as `outage_max`.
        """
        limit = asyncio.timeout(None if timeout is None else timeout.total_seconds())
        try:
            async with limit:
                async with aclosing(self.watch_run(run_id)) as events:
                    async for event in events:
                        await _tell(on_event, event)
                return result_of(await self.get_run(run_id))
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceededError(
                f"run {run_id} has not ended within {timeout}; it goes on. "
                "Wait for it again with wait_for_run(), or end it with cancel_run()",
                metadata={"run_id": run_id},
            ) from None

    async def run_and_wait(  # noqa: PLR0913 - what a run can be started with, and how it is waited for
        self,
        workflow: AnyWorkflow | str,
        input: Any = None,  # noqa: A002 - the word of the domain
        *,
        config: Mapping[str, BaseModel | Mapping[str, Any]] | None = None,
        priority: int = 5,
        labels: Mapping[str, str] | None = None,
        version: int = 0,
        request_id: str | None = None,
        on_event: EventCallback | None = None,
        timeout: timedelta | None = None,  # noqa: ASYNC109 - as above
    ) -> RunResult:
        """Start a run and wait until it has ended. A run that fails is a result, not an exception.

        When this is cancelled or its time is over, the run goes on.

        Args:
            workflow: As for `create_run`; likewise up to `request_id`.
            input: See `create_run`.
            config: See `create_run`.
            priority: See `create_run`.
            labels: See `create_run`.
            version: See `create_run`.
            request_id: See `create_run`.
            on_event: Called with each event of the run; may be an `async def`.
            timeout: How long to wait at most, once the run is started. Default: without limit.

        Raises:
            DeadlineExceededError: The time is over; `metadata["run_id"]` names the run.
            ApiError: As for `create_run` and `wait_for_run`.
        """
        run = await self.create_run(
            workflow,
            input,
            config=config,
            priority=priority,
            labels=labels,
            version=version,
            request_id=request_id,
        )
        return await self.wait_for_run(run.id, on_event=on_event, timeout=timeout)

    async def list_logs(
        self,
        run_id: str,
        *,
        stage_id: str = "",
        level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "DEBUG",
        follow: bool = False,
    ) -> AsyncIterator[LogLine]:
        """Yield what the stages of a run logged so far, in the order of storing.

        Args:
            run_id: The run.
            stage_id: Only lines of this stage.
            level: Only lines of this level or graver.
            follow: Go on with new lines as they come, until the run has ended.

        Raises:
            NotFoundError: There is no such run, or it has no such stage.
            UnavailableError: The server could not be reached.
        """
        request = run_service_pb2.ListRunLogsRequest(
            namespace=self._namespace,
            run_id=run_id,
            stage_id=stage_id,
            level_min=run_pb2.LogLevel.Value(f"LOG_LEVEL_{level}"),
        )
        has_ended = not follow
        while True:
            async for line in self._log_lines(request):
                yield line
            if has_ended:
                return
            has_ended = await self._has_ended(run_id)
            # The last lines of a run may be stored shortly after its end.
            request.wait.FromTimedelta(LAST_LINES_WAIT if has_ended else LOG_WAIT)

    async def _log_lines(self, request: run_service_pb2.ListRunLogsRequest) -> AsyncIterator[LogLine]:
        """Yield what is stored after `after_log_id` of the request, which is moved on."""
        more = True
        while more:
            response = await self._call(self._runs.ListRunLogs, request)
            request.after_log_id = max(response.last_log_id, request.after_log_id)
            request.ClearField("wait")
            for entry in response.entries:
                yield decode_log_line(entry)
            more = bool(response.next_page_token)

    async def _has_ended(self, run_id: str) -> bool:
        request = run_service_pb2.GetRunRequest(
            namespace=self._namespace, run_id=run_id, view=run_pb2.RUN_VIEW_BASIC
        )
        return decode_run((await self._call(self._runs.GetRun, request)).run).status.has_ended

    async def list_workflows(self, name: str = "") -> AsyncIterator[RegisteredWorkflow]:
        """Yield the latest version of each workflow by name, without schemas; or every version of one workflow.

        Args:
            name: The workflow whose versions are wanted. Default: the latest version of each workflow.

        Raises:
            UnavailableError: The server could not be reached.
        """
        request = workflow_service_pb2.ListWorkflowsRequest(namespace=self._namespace, workflow_name=name)
        while True:
            response = await self._call(self._workflows.ListWorkflows, request)
            for workflow in response.workflows:
                yield decode_workflow(workflow)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    async def get_workflow(self, name: str, version: int = 0) -> RegisteredWorkflow:
        """Return one version of a workflow, with its schemas.

        Args:
            name: The workflow.
            version: 0, the default, means the latest.

        Raises:
            NotFoundError: There is no such workflow, or no such version of it.
            UnavailableError: The server could not be reached.
        """
        request = workflow_service_pb2.GetWorkflowRequest(
            namespace=self._namespace, workflow_name=name, workflow_version=version
        )
        return decode_workflow((await self._call(self._workflows.GetWorkflow, request)).workflow)

    async def register_workflow(
        self, workflow: AnyWorkflow, *, request_id: str | None = None
    ) -> RegisteredWorkflow:
        """Register a workflow, unless this very definition is registered. Workers do it on their own.

        Raises:
            InvalidArgumentError: The definition breaks a rule; `field_violations` says where.
            ResourceExhaustedError: The definition is too large.
            UnavailableError: The server could not be reached.
        """
        request = workflow_service_pb2.RegisterWorkflowRequest(
            namespace=self._namespace,
            request_id=request_id or str(uuid.uuid4()),
            definition=definition_of(workflow),
        )
        return decode_workflow((await self._call(self._workflows.RegisterWorkflow, request)).workflow)


def _plain(config: BaseModel | Mapping[str, Any]) -> Mapping[str, Any]:
    return config.model_dump(mode="json", by_alias=True) if isinstance(config, BaseModel) else config


def _run_state(status: RunStatus | str) -> run_pb2.RunState.ValueType:
    known = RunStatus(status.upper())  # Raises ValueError with the name.
    return run_pb2.RunState.Value(f"RUN_STATE_{known.value}")


async def _tell(on_event: EventCallback | None, event: Event) -> None:
    if on_event is not None:
        answer = on_event(event)
        if inspect.isawaitable(answer):
            await answer
