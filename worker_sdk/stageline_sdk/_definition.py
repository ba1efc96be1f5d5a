"""From a built workflow to the message that registers it."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from stageline.v1 import definition_pb2
from stageline_sdk.built_workflow import BuiltWorkflow
from stageline_sdk.retry import RetryPolicy, StageTimeouts
from stageline_sdk.stage import Stage, StageMode

_MODES: Mapping[StageMode, definition_pb2.StageMode.ValueType] = {
    "sync": definition_pb2.STAGE_MODE_SYNC,
    "async-batch": definition_pb2.STAGE_MODE_ASYNC_BATCH,
}


def definition_of(workflow: BuiltWorkflow[Any, Any]) -> definition_pb2.WorkflowDefinition:
    """Return a workflow as RegisterWorkflow takes it. What the workflow leaves open is left to the server's defaults."""
    return definition_pb2.WorkflowDefinition(
        name=workflow.name,
        title=workflow.title,
        description=workflow.description,
        input_schema=_json(workflow.input_schema),
        output_schema=_json(workflow.output_schema),
        groups=[
            definition_pb2.StageGroup(stages=[_stage_message(stage) for stage in group])
            for group in workflow.groups
        ],
        run_timeout=_optional_duration(workflow.run_timeout),
    )


def _stage_message(stage: Stage[Any, Any, Any]) -> definition_pb2.StageDefinition:
    message = definition_pb2.StageDefinition(
        id=stage.id,
        name=stage.name,
        description=stage.description,
        mode=_MODES[stage.mode],
        input_schema=_json(stage.input_schema),
        output_schema=_json(stage.output_schema),
        config_schema=_json(stage.config_schema),
        default_config=json.dumps(stage.default_config).encode(),
        dependencies=stage.dependencies,
        accepts_any_input=stage.accepts_any_input,
        required_labels=stage.requires,
    )
    if stage.retry is not None:
        message.retry_policy.CopyFrom(_retry_message(stage.retry))
    if stage.timeouts is not None:
        message.timeouts.CopyFrom(_timeouts_message(stage.timeouts))
    return message


def _retry_message(policy: RetryPolicy) -> definition_pb2.RetryPolicy:
    return definition_pb2.RetryPolicy(
        max_attempts=policy.max_attempts,
        initial_backoff=_duration(policy.initial_backoff),
        max_backoff=_duration(policy.max_backoff),
        backoff_factor=policy.backoff_factor,
        jitter=policy.jitter,
        non_retryable_error_types=policy.non_retryable_error_types,
    )


def _timeouts_message(timeouts: StageTimeouts) -> definition_pb2.StageTimeouts:
    return definition_pb2.StageTimeouts(
        schedule_to_start=_optional_duration(timeouts.schedule_to_start),
        start_to_close=_optional_duration(timeouts.start_to_close),
        heartbeat=_optional_duration(timeouts.heartbeat),
    )


def _json(schema: Mapping[str, Any]) -> bytes:
    """Return a schema as JSON text; nothing for `{}`, which accepts anything and which the wire leaves empty."""
    return json.dumps(schema, separators=(",", ":"), sort_keys=True).encode() if schema else b""


def _duration(value: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(value)
    return message


def _optional_duration(value: timedelta | None) -> Duration | None:
    return None if value is None else _duration(value)
