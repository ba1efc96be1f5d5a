"""The calls that a worker makes beside its stream, and what their errors mean for it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import grpc

from stageline.v1 import (
    job_pb2,
    report_pb2,
    session_pb2,
    worker_pb2,
    worker_service_pb2,
    worker_service_pb2_grpc,
    workflow_service_pb2,
    workflow_service_pb2_grpc,
)
from stageline_sdk._artifact_calls import ArtifactCalls
from stageline_sdk._calls import Caller
from stageline_sdk._connection import Connection
from stageline_sdk._definition import definition_of
from stageline_sdk._reports import payload_of
from stageline_sdk._rpc_errors import error_of_detail
from stageline_sdk._session_terms import Terms
from stageline_sdk._submission_wire import submission_message
from stageline_sdk.built_workflow import BuiltWorkflow
from stageline_sdk.errors import (
    AbortedError,
    AlreadyExistsError,
    ApiError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnsupportedError,
)
from stageline_sdk.submissions import Submission

_CALL_TIMEOUT = timedelta(seconds=20)
_FETCH_RETRY_FOR = timedelta(seconds=60)

# What no further try can heal, whatever call it comes from.
_FATAL_KINDS = (UnauthenticatedError, PermissionDeniedError, UnsupportedError)
_FATAL_REASONS = ("PROTOCOL_VERSION_UNSUPPORTED", "NAMESPACE_NOT_FOUND")


class FatalError(Exception):
    """Ends the worker.

    Attributes:
        error: Why: what is raised to the user.
    """

    def __init__(self, error: ApiError) -> None:
        super().__init__(str(error))
        self.error = error


class WorkerCalls:
    """Unary calls over a worker's channel."""

    def __init__(self, channel: grpc.aio.Channel, connection: Connection, namespace: str) -> None:
        self._workers: worker_service_pb2_grpc.WorkerServiceAsyncStub = (
            worker_service_pb2_grpc.WorkerServiceStub(channel)
        )
        self._workflows: workflow_service_pb2_grpc.WorkflowServiceAsyncStub = (
            workflow_service_pb2_grpc.WorkflowServiceStub(channel)
        )
        self._once = Caller(connection, call_timeout=_CALL_TIMEOUT, retry_for=timedelta(0))
        self._persistent = Caller(connection, call_timeout=_CALL_TIMEOUT, retry_for=_FETCH_RETRY_FOR)
        self._namespace = namespace
        self._channel = channel
        self._connection = connection

    async def register(self, workflow: BuiltWorkflow[Any, Any]) -> session_pb2.WorkerStages:
        """Register a workflow, and return its entry for Hello.

        Raises:
            ApiError: The server cannot be reached now.
            FatalError: The server refused the definition.
        """
        request = workflow_service_pb2.RegisterWorkflowRequest(
            namespace=self._namespace, definition=definition_of(workflow)
        )
        try:
            registered = (await self._once(self._workflows.RegisterWorkflow, request)).workflow
        except (InvalidArgumentError, AlreadyExistsError, ResourceExhaustedError) as error:
            if error.reason and not error.retryable:  # A definition that is refused stays refused.
                raise FatalError(_refused(error, workflow.name)) from error
            raise
        return session_pb2.WorkerStages(
            workflow_name=workflow.name,
            workflow_version=registered.version,
            workflow_digest=registered.digest,
        )

    def artifacts(self, lease_token: bytes) -> ArtifactCalls:
        """Return the calls that move bytes under a lease."""
        return ArtifactCalls(
            self._channel,
            self._connection,
            self._namespace,
            retry_for=_FETCH_RETRY_FOR,
            lease_token=lease_token,
        )

    async def fetch_outputs(self, lease_token: bytes, stage_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Return outputs of earlier stages.

        Raises:
            ApiError: The server refused, or could not be reached for a minute.
        """
        found: dict[str, bytes] = {}
        wanted = list(stage_ids)
        while wanted:
            request = worker_service_pb2.FetchOutputsRequest(
                namespace=self._namespace, lease_token=lease_token, stage_ids=wanted
            )
            response = await self._persistent(self._workers.FetchOutputs, request)
            for stage_id, payload in response.outputs.items():
                await self.artifacts(lease_token).resolve(payload)
                found[stage_id] = payload.json
            wanted = list(response.remaining_stage_ids) if response.outputs else []
        missing = [stage_id for stage_id in stage_ids if stage_id not in found]
        if missing:
            raise NotFoundError(f"the server did not send the outputs of {', '.join(missing)}")
        return found

    async def submit(self, lease_token: bytes, submission: Submission) -> None:
        """Put on record how far a submission is. By a call, not the stream: it is good without one, and has an answer.

        Raises:
            ApiError: The server refused, as the lease has ended, or could not be reached for a minute.
        """
        item = worker_pb2.SubmissionDeclaration(
            lease_token=lease_token, submission=submission_message(submission)
        )
        request = worker_service_pb2.ReportJobsRequest(
            namespace=self._namespace, items=[worker_pb2.WorkerItem(submission=item)]
        )
        response = await self._persistent(self._workers.ReportJobs, request)
        for refused in response.errors:
            raise error_of_detail(refused.error)

    async def resolve(self, offer: job_pb2.JobOffer) -> job_pb2.JobOffer:
        """Return an offer with the input and state that are stored apart.

        Raises:
            ApiError: The server refused, or could not be reached for a minute.
        """
        whole = job_pb2.JobOffer()
        whole.CopyFrom(offer)
        await self.artifacts(offer.lease_token).resolve(whole.run_input, whole.suspended_state)
        return whole

    async def offload(self, report: report_pb2.Report, terms: Terms | None) -> report_pb2.Report:
        """Store a report's payload apart where it is too large for a message; returns the report.

        Raises:
            ApiError: The server refused, or could not be reached for a minute.
        """
        _, payload = payload_of(report)
        size = 0 if payload is None else len(payload.json)
        if payload is None or terms is None or size <= terms.inline_payload_bytes_max:
            return report
        if size <= terms.payload_bytes_max:
            await self.artifacts(report.lease_token).offload(payload, terms.inline_payload_bytes_max)
        return report


def narrowed(
    entries: list[session_pb2.WorkerStages],
    workflows: Iterable[BuiltWorkflow[Any, Any]],
    stage_ids: frozenset[str] | None,
) -> list[session_pb2.WorkerStages]:
    """Return entries for Hello that name only the stages that a worker runs; as they are for None, which is all."""
    if stage_ids is not None:
        for entry, workflow in zip(entries, workflows, strict=True):
            entry.stage_ids.extend(each for each in workflow.stage_ids if each in stage_ids)
    return entries


def is_fatal(error: ApiError) -> bool:
    """Whether an error ends the worker: trying again does not help."""
    return isinstance(error, _FATAL_KINDS) or error.reason in _FATAL_REASONS


def raise_for_end(end: session_pb2.SessionEnd | None) -> None:
    """Raise if the server said that the worker is not to connect again.

    Raises:
        AbortedError: The session goes on with another stream.
        FatalError: The worker cannot do better by trying again.
    """
    if end is None or end.reconnect or end.reason == session_pb2.DISCONNECT_REASON_DRAINED:
        return
    reason = session_pb2.DisconnectReason.Name(end.reason).removeprefix("DISCONNECT_REASON_")
    if end.reason == session_pb2.DISCONNECT_REASON_SUPERSEDED:
        raise AbortedError("the session goes on with another stream", reason="SESSION_SUPERSEDED")
    if end.HasField("error"):
        raise FatalError(error_of_detail(end.error))
    raise FatalError(ApiError(f"the server ended the session for good ({reason})"))


def _refused(error: ApiError, workflow_name: str) -> ApiError:
    """Return the error with the workflow's name in its message."""
    return type(error)(
        f"the server refused workflow {workflow_name!r}: {error.message}",
        reason=error.reason,
        field_violations=error.field_violations,
        metadata=error.metadata,
    )
