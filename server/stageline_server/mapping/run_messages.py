"""Runs and their stages into messages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

import orjson

from stageline.v1 import failure_pb2, run_pb2
from stageline_engine.decide.create import CLAIM_FAILED
from stageline_engine.decide.deadlines import RUN_TIMED_OUT
from stageline_engine.decide.repair import DEFINITION_LOST
from stageline_engine.decide.waiting import Shortage
from stageline_engine.events import StageError
from stageline_engine.model.definition import StageDefinition, WorkflowDefinition
from stageline_engine.model.run import RunError, RunRow, RunState
from stageline_engine.model.stage import StageState
from stageline_engine.ports import RunDetails, StageDetails
from stageline_server.mapping.fields import timestamp_of
from stageline_server.mapping.payloads import PayloadRoom
from stageline_server.mapping.submissions import submission_message

UNREACHED_STATE = {
    RunState.PENDING: StageState.PENDING,
    RunState.RUNNING: StageState.PENDING,
    RunState.COMPLETED: StageState.PENDING,
    RunState.FAILED: StageState.SKIPPED,
    RunState.CANCELLED: StageState.CANCELLED,
}
"""What a stage is whose group was never reached, by the state of its run. A completed run has none."""

_KINDS = dict(failure_pb2.FailureKind.items())
_KINDS_OF_RUNS = {CLAIM_FAILED: "INTERNAL", DEFINITION_LOST: "INTERNAL", RUN_TIMED_OUT: "TIMED_OUT"}
"""Errors of runs that no stage has."""


def run_message(run: RunRow, labels: dict[str, str] | None = None) -> run_pb2.Run:
    """Returns a run in BASIC view.

    Args:
        run: The row.
        labels: Its labels, where they were read.
    """
    return run_pb2.Run(
        run_id=str(run.id),
        namespace=run.namespace,
        workflow_name=run.workflow_name,
        workflow_version=run.workflow_version,
        state=run_pb2.RunState.Value(f"RUN_STATE_{run.state.value}"),
        error=_run_error(run.error) if run.error and run.state is RunState.FAILED else None,
        priority=run.priority,
        labels=labels,
        create_time=timestamp_of(run.created_at),
        scheduled_start_time=timestamp_of(run.start_at),
        start_time=timestamp_of(run.started_at),
        end_time=timestamp_of(run.ended_at),
        total_cost_usd=format(run.total_cost, "f"),
        total_tokens=run.total_tokens,
        event_sequence=run.event_sequence,
    )


def detailed_run_message(
    details: RunDetails, definition: WorkflowDefinition, now: datetime, room: PayloadRoom | None = None
) -> run_pb2.Run:
    """Returns a run with its labels and, in FULL view, with its payloads and all its stages.

    Args:
        details: The run as it was read; with outputs for the FULL view.
        definition: Of the run's workflow version: it knows the stages that were never reached.
        now: The present time.
        room: For the payloads of the FULL view; None for one without. The run's own output is not put into it.
    """
    message = run_message(details.run, dict(details.payload.labels))
    message.ai_call_count = details.usage.calls
    message.unknown_cost_count = details.usage.unknown_costs
    message.wasted_cost_usd = format(details.usage.wasted_cost, "f")
    message.rerun_count = max((item.stage.generation for item in details.stages), default=1) - 1
    if room is None:
        return message
    message.input.CopyFrom(room.payload(details.payload.input))
    message.config.CopyFrom(room.payload(details.payload.config))
    message.stages.extend(_stage_messages(details, definition, now, room))
    return message


def closing_outputs(details: RunDetails, definition: WorkflowDefinition) -> dict[str, str] | None:
    """Returns the outputs that a completed run's own is made of, by stage id in definition order; None: it has none."""
    if details.run.state is not RunState.COMPLETED:
        return None
    outputs = {
        item.stage.stage_id: item.result.output
        for item in details.stages
        if item.result is not None and item.result.output is not None
    }
    ids = [stage.id for group in definition.groups[-1:] for stage in group]
    return {id_: outputs[id_] for id_ in ids} if outputs.keys() >= set(ids) else None


def reached_definition(details: RunDetails) -> WorkflowDefinition:
    """Returns what the rows of a run tell of its workflow: the ids of the stages in the groups that it has reached."""
    groups = groupby(sorted(details.stages, key=_number), key=lambda item: item.stage.group_number)
    stages = (tuple(StageDefinition(item.stage.stage_id) for item in group) for _, group in groups)
    return WorkflowDefinition(details.run.workflow_name, tuple(stages))


def _number(item: StageDetails) -> int:
    return item.stage.number


def _stage_messages(
    details: RunDetails, definition: WorkflowDefinition, now: datetime, room: PayloadRoom
) -> Sequence[run_pb2.StageExecution]:
    reached = {item.stage.number: item for item in details.stages}
    messages = []
    for number, group in definition.groups_by_number():
        stage = definition.stages[number - 1]
        message = run_pb2.StageExecution(
            stage_id=stage.id, name=_name(stage), number=number, group_number=group
        )
        row = reached[number].stage if number in reached else None
        message.submissions.extend(
            submission_message(each, row) for each in details.submissions if each.stage_number == number
        )
        if number in reached:
            _fill(message, reached[number], now, room)
        else:
            message.state = _stage_state(UNREACHED_STATE[details.run.state])
            if message.state == run_pb2.STAGE_STATE_PENDING:
                message.waiting_reason = run_pb2.WAITING_REASON_EARLIER_GROUP
        messages.append(message)
    return messages


def _name(stage: StageDefinition) -> str:
    return stage.name or stage.id


def _stage_state(state: StageState) -> "run_pb2.StageState.ValueType":
    return run_pb2.StageState.Value(f"STAGE_STATE_{state.value}")


def _fill(message: run_pb2.StageExecution, item: StageDetails, now: datetime, room: PayloadRoom) -> None:
    stage, result = item.stage, item.result
    message.MergeFrom(
        run_pb2.StageExecution(
            state=_stage_state(stage.state),
            generation=stage.generation,
            attempt=stage.attempt,
            deliveries=stage.delivery,
            ready_time=timestamp_of(stage.created_at),
            start_time=timestamp_of(stage.started_at),
            end_time=timestamp_of(stage.ended_at),
            worker=item.worker_name,
            progress=_progress(item),
        )
    )
    message.active_duration.FromTimedelta(stage.active_until(now))
    if item.available_at is not None:
        _fill_wait(message, stage.state, item.available_at, now)
    if result is None:
        return
    if result.output is not None and stage.state is StageState.COMPLETED:
        message.output.CopyFrom(room.payload(result.output))
    if result.error is not None and stage.state is not StageState.COMPLETED:
        message.error.CopyFrom(stage_error_message(result.error))
    message.metrics.update(result.metrics)


def _fill_wait(
    message: run_pb2.StageExecution, state: StageState, available_at: datetime, now: datetime
) -> None:
    """Says what the stage's job waits for. Of a job that could start now, ``fill_shortages`` says it."""
    if state is StageState.PENDING and available_at > now:
        message.waiting_reason = run_pb2.WAITING_REASON_RETRY_BACKOFF
        message.next_attempt_time.FromDatetime(available_at)
    if state is StageState.SUSPENDED:
        message.waiting_reason = run_pb2.WAITING_REASON_NEXT_CHECK
        message.next_attempt_time.FromDatetime(available_at)


def ready_stage_ids(details: RunDetails, now: datetime) -> frozenset[str]:
    """Returns the stages whose job could start, or be checked, now and has no worker."""
    return frozenset(
        item.stage.stage_id
        for item in details.stages
        if item.available_at is not None and item.available_at <= now
    )


def fill_shortages(message: run_pb2.Run, shortages: Mapping[str, Shortage]) -> None:
    """Says in a run's message what its ready stages lack, by stage id."""
    for stage in message.stages:
        if lacking := shortages.get(stage.stage_id):
            stage.waiting_reason = run_pb2.WaitingReason.Value(f"WAITING_REASON_{lacking.lack}")
            stage.waiting_detail = lacking.detail


def _progress(item: StageDetails) -> run_pb2.StageProgress | None:
    told = item.progress
    if told is None:
        return None
    return run_pb2.StageProgress(
        fraction=told.fraction,
        message=told.message,
        details=orjson.dumps(dict(told.details)) if told.details else b"",
        update_time=timestamp_of(told.told_at),
    )


def stage_error_message(error: StageError) -> failure_pb2.StageError:
    """Returns the failure of one attempt."""
    return failure_pb2.StageError(
        kind=failure_kind(error.type), type=error.type, message=error.message, stack_trace=error.stack
    )


def _run_error(error: RunError) -> failure_pb2.RunError:
    return failure_pb2.RunError(
        kind=failure_kind(error.code), code=error.code, message=error.message, stage_id=error.stage_id
    )


def failure_kind(error_type: str) -> "failure_pb2.FailureKind.ValueType":
    """Returns who is at fault: the engine's own error types are named as their kinds, all others are the stage's."""
    named = _KINDS_OF_RUNS.get(error_type, error_type)
    number = _KINDS.get(f"FAILURE_KIND_{named}", failure_pb2.FAILURE_KIND_UNSPECIFIED)
    return number or failure_pb2.FAILURE_KIND_APPLICATION
