"""From the wire's messages to what the client returns."""

from datetime import datetime
from decimal import Decimal

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from stageline.v1 import definition_pb2, event_pb2, failure_pb2, run_pb2
from stageline_sdk._submission_wire import submission_of
from stageline_sdk._wire import from_payload, from_timestamp, json_object
from stageline_sdk.runs import (
    Event,
    Failure,
    LogLine,
    RegisteredStage,
    RegisteredWorkflow,
    Run,
    RunResult,
    RunStatus,
    StageInfo,
    StageStatus,
)


def decode_run(message: run_pb2.Run) -> Run:
    """Return a run."""
    return Run(
        id=message.run_id,
        namespace=message.namespace,
        workflow_name=message.workflow_name,
        workflow_version=message.workflow_version,
        status=_run_status(message.state),
        priority=message.priority,
        labels=dict(message.labels),
        input=from_payload(message.input) if message.HasField("input") else None,
        config=from_payload(message.config) if message.HasField("config") else None,
        output=from_payload(message.output) if message.HasField("output") else None,
        error=_run_error(message.error) if message.HasField("error") else None,
        stages=tuple(_stage(stage) for stage in message.stages),
        created_at=from_timestamp(message.create_time),
        start_at=_time(message, "scheduled_start_time", message.scheduled_start_time),
        started_at=_time(message, "start_time", message.start_time),
        ended_at=_time(message, "end_time", message.end_time),
        total_cost_usd=Decimal(message.total_cost_usd or "0"),
        total_tokens=message.total_tokens,
        ai_call_count=message.ai_call_count,
        unknown_cost_count=message.unknown_cost_count,
        wasted_cost_usd=Decimal(message.wasted_cost_usd or "0"),
        event_sequence=message.event_sequence,
        cancel_reason=message.cancel_reason,
        rerun_count=message.rerun_count,
    )


def result_of(run: Run) -> RunResult:
    """Return the result of a run that has ended."""
    return RunResult(
        run_id=run.id,
        status=run.status,
        output=run.output,
        stages=run.stages,
        duration=(run.ended_at or run.created_at) - run.created_at,
        error=run.error,
        run=run,
    )


def decode_event(message: event_pb2.Event) -> Event:
    """Return an event."""
    return Event(
        run_id=message.run_id,
        sequence=message.sequence,
        type=message.type,
        stage_id=message.stage_id,
        at=from_timestamp(message.occur_time),
        payload=json_object(message.payload),
    )


def decode_log_line(message: run_pb2.LogEntry) -> LogLine:
    """Return a log line."""
    level = _name(run_pb2.LogLevel.DESCRIPTOR, message.level, "LOG_LEVEL_")
    return LogLine(
        id=message.log_id,
        stage_id=message.stage_id,
        generation=message.generation,
        attempt=message.attempt,
        level="INFO" if level == "UNSPECIFIED" else level,
        message=message.message,
        fields=json_object(message.fields),
        at=from_timestamp(message.log_time),
    )


def decode_workflow(message: definition_pb2.Workflow) -> RegisteredWorkflow:
    """Return a version of a workflow."""
    definition = message.definition
    return RegisteredWorkflow(
        namespace=message.namespace,
        name=definition.name,
        version=message.version,
        digest=message.digest.hex(),
        title=definition.title,
        description=definition.description,
        input_schema=json_object(definition.input_schema),
        stages=tuple(
            _registered_stage(stage, number)
            for number, group in enumerate(definition.groups, 1)
            for stage in group.stages
        ),
        created_at=from_timestamp(message.create_time),
    )


def _registered_stage(message: definition_pb2.StageDefinition, group: int) -> RegisteredStage:
    return RegisteredStage(
        id=message.id,
        name=message.name,
        group=group,
        mode="async-batch" if message.mode == definition_pb2.STAGE_MODE_ASYNC_BATCH else "sync",
        description=message.description,
        dependencies=tuple(message.dependencies),
        input_schema=json_object(message.input_schema),
        output_schema=json_object(message.output_schema),
        config_schema=json_object(message.config_schema),
        default_config=json_object(message.default_config),
        requires=dict(message.required_labels),
    )


def _stage(message: run_pb2.StageExecution) -> StageInfo:
    progress = message.progress
    waits_for = _name(run_pb2.WaitingReason.DESCRIPTOR, message.waiting_reason, "WAITING_REASON_")
    return StageInfo(
        id=message.stage_id,
        name=message.name,
        number=message.number,
        group=message.group_number,
        status=_stage_status(message.state),
        generation=message.generation,
        attempt=message.attempt,
        deliveries=message.deliveries,
        output=from_payload(message.output) if message.HasField("output") else None,
        error=_stage_error(message) if message.HasField("error") else None,
        started_at=_time(message, "start_time", message.start_time),
        ended_at=_time(message, "end_time", message.end_time),
        active_time=message.active_duration.ToTimedelta(),
        waits_for="" if waits_for == "UNSPECIFIED" else waits_for,
        waits_detail=message.waiting_detail,
        worker=message.worker,
        progress=progress.fraction if progress.HasField("fraction") else None,
        progress_message=progress.message,
        progress_at=_time(progress, "update_time", progress.update_time),
        metrics=dict(message.metrics),
        submissions=tuple(map(submission_of, message.submissions)),
    )


def _stage_error(message: run_pb2.StageExecution) -> Failure:
    error = message.error
    kind = _name(failure_pb2.FailureKind.DESCRIPTOR, error.kind, "FAILURE_KIND_")
    return Failure(kind, error.type, error.message, message.stage_id, error.stack_trace)


def _run_error(error: failure_pb2.RunError) -> Failure:
    kind = _name(failure_pb2.FailureKind.DESCRIPTOR, error.kind, "FAILURE_KIND_")
    return Failure(kind, error.code, error.message, error.stage_id)


def _run_status(state: run_pb2.RunState.ValueType) -> RunStatus:
    name = _name(run_pb2.RunState.DESCRIPTOR, state, "RUN_STATE_")
    return RunStatus(name) if name in RunStatus.__members__ else RunStatus.UNSPECIFIED


def _stage_status(state: run_pb2.StageState.ValueType) -> StageStatus:
    name = _name(run_pb2.StageState.DESCRIPTOR, state, "STAGE_STATE_")
    return StageStatus(name) if name in StageStatus.__members__ else StageStatus.UNSPECIFIED


def _name(enum: EnumDescriptor, number: int, prefix: str) -> str:
    """Return an enum value's name without its prefix; UNSPECIFIED for one that this SDK does not know."""
    value = enum.values_by_number.get(number)
    return "UNSPECIFIED" if value is None else value.name.removeprefix(prefix)


def _time(message: Message, field: str, value: Timestamp) -> datetime | None:
    return from_timestamp(value) if message.HasField(field) else None
