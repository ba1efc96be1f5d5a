"""Requests into the engine's commands and filters. What the engine checks itself is not checked here."""

from datetime import timedelta

from stageline.v1 import annotation_pb2, run_pb2, run_service_pb2
from stageline_engine import limits
from stageline_engine.commands import CancelRun, CheckNow, Completed, CreateRun, ResumeStage, WaitOutcome
from stageline_engine.events import Annotation
from stageline_engine.model.run import RunState
from stageline_engine.ports import RunFilter
from stageline_engine.rejections import FieldViolation
from stageline_server.errors import Refusal, RefusedError, invalid_field
from stageline_server.mapping.annotations import to_annotation
from stageline_server.mapping.failures import timedelta_of, to_failure
from stageline_server.mapping.fields import (
    namespace_of,
    optional_name,
    out_of_range,
    required_name,
    run_id_of,
    time_of,
    version_of,
)
from stageline_server.mapping.payloads import payload_of

EMPTY_OBJECT = b"{}"

RESUME_TOKEN_LENGTH_MAX = 255
"""Characters of a resume token, as the protocol says."""

_STATE_NAMES = {number: name.removeprefix("RUN_STATE_") for name, number in run_pb2.RunState.items()}


def create_run_command(
    request: run_service_pb2.CreateRunRequest, namespace: str, config: bytes | None = None
) -> CreateRun:
    """Returns the command of one creation.

    Args:
        request: The request, or one item of a batch.
        namespace: Where the run is to live.
        config: Its config as JSON text, wherever that was.

    Raises:
        RefusedError: A field breaks the rule of its comment.
    """
    return CreateRun(
        namespace=namespace,
        workflow_name=required_name(request.workflow_name, "workflow_name"),
        workflow_version=version_of(request.workflow_version),
        input=payload_of(request.input, "input") if request.HasField("input") else EMPTY_OBJECT,
        config=EMPTY_OBJECT if config is None else config,
        priority=request.priority if request.HasField("priority") else limits.PRIORITY_DEFAULT,
        labels=dict(request.labels),
        annotations=tuple(
            _annotation(entry, f"annotations.{index}") for index, entry in enumerate(request.annotations)
        ),
        start_at=time_of(request.scheduled_start_time, "scheduled_start_time")
        if request.HasField("scheduled_start_time")
        else None,
        start_delay=timedelta_of(request.start_delay, timedelta.max)
        if request.HasField("start_delay")
        else None,
        idempotency_key=request.request_id,
    )


def _annotation(entry: annotation_pb2.AnnotationEntry, field: str) -> Annotation:
    try:
        return to_annotation(entry, "run")
    except UnicodeDecodeError as error:
        message = f"{field} is not UTF-8 JSON text: {error.reason} at byte {error.start}."
        violation = FieldViolation(field, f"not UTF-8: {error.reason} at byte {error.start}")
        raise RefusedError(Refusal("MALFORMED_JSON", message, {}, (violation,))) from None


def cancel_run_command(request: run_service_pb2.CancelRunRequest) -> CancelRun:
    """Returns the command of a cancellation.

    Raises:
        RefusedError: A field breaks the rule of its comment.
    """
    return CancelRun(
        namespace=namespace_of(request.namespace),
        run_id=run_id_of(request.run_id),
        reason=request.reason,
        idempotency_key=request.request_id,
    )


def resume_stage_command(request: run_service_pb2.ResumeStageRequest) -> ResumeStage:
    """Returns the command that ends a wait.

    Raises:
        RefusedError: A field breaks the rule of its comment.
    """
    if not request.resume_token:
        raise invalid_field("resume_token", "is required")
    if len(request.resume_token) > RESUME_TOKEN_LENGTH_MAX:
        raise out_of_range(
            "resume_token", f"at most {RESUME_TOKEN_LENGTH_MAX} characters", len(request.resume_token)
        )
    return ResumeStage(
        namespace=namespace_of(request.namespace),
        run_id=run_id_of(request.run_id),
        stage_id=required_name(request.stage_id, "stage_id"),
        token=request.resume_token.encode(),
        outcome=_wait_outcome(request),
        idempotency_key=request.request_id,
    )


def _wait_outcome(request: run_service_pb2.ResumeStageRequest) -> WaitOutcome:
    match request.WhichOneof("outcome"):
        case "output":
            return Completed(payload_of(request.output, "output"))
        case "failure":
            return to_failure(request.failure)
        case "check_now":
            return CheckNow()
        case _:
            raise invalid_field("outcome", "is required: set output, failure or check_now")


def run_filter(request: run_service_pb2.ListRunsRequest) -> RunFilter:
    """Returns which runs a list is of.

    Raises:
        RefusedError: A filter breaks the rule of its comment.
    """
    if len(request.labels) > limits.LABELS_MAX:
        raise out_of_range("labels", f"at most {limits.LABELS_MAX} entries", len(request.labels))
    if any("\0" in text for pair in request.labels.items() for text in pair):
        raise invalid_field("labels", "contain the character U+0000")
    return RunFilter(
        namespace=namespace_of(request.namespace),
        workflow_name=optional_name(request.workflow_name, "workflow_name"),
        states=tuple(_state(number) for number in sorted(set(request.states))),
        created_after=time_of(request.created_after, "created_after")
        if request.HasField("created_after")
        else None,
        created_before=time_of(request.created_before, "created_before")
        if request.HasField("created_before")
        else None,
        labels=dict(request.labels),
    )


def _state(number: "run_pb2.RunState.ValueType") -> RunState:
    try:
        return RunState(_STATE_NAMES.get(number, ""))
    except ValueError:
        raise invalid_field("states", f"holds {number}, which is no state of a run") from None


def filter_binding(which: RunFilter) -> tuple[object, ...]:
    """What a page token of a list of runs is bound to."""
    return (
        "ListRuns",
        which.namespace,
        which.workflow_name,
        [state.value for state in which.states],
        which.created_after and which.created_after.isoformat(),
        which.created_before and which.created_before.isoformat(),
        sorted(which.labels.items()),
    )
