"""Workflow definitions from and to their messages. Defaults are filled in on the way in."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from stageline.v1 import definition_pb2
from stageline_engine.model.definition import (
    RegisteredWorkflow,
    RetryPolicy,
    StageDefinition,
    StageMode,
    StageTimeouts,
    WorkflowDefinition,
)
from stageline_engine.model.definition_checks import DefinitionFault, broken_rule
from stageline_engine.rejections import FieldViolation, Reason
from stageline_server.mapping.fields import timestamp_of

MODE_BY_NUMBER = {
    definition_pb2.STAGE_MODE_UNSPECIFIED: StageMode.SYNC,
    definition_pb2.STAGE_MODE_SYNC: StageMode.SYNC,
    definition_pb2.STAGE_MODE_ASYNC_BATCH: StageMode.ASYNC_BATCH,
}
NUMBER_BY_MODE = {
    StageMode.SYNC: definition_pb2.STAGE_MODE_SYNC,
    StageMode.ASYNC_BATCH: definition_pb2.STAGE_MODE_ASYNC_BATCH,
}
_DURATION_SECONDS_MAX = 10**10
"""Longer ones are cut to this before they are judged, so that no number overflows; every limit is far below."""


class DefinitionReader:
    """Reads one definition, and gathers what is wrong with its encoding instead of stopping at it.

    Attributes:
        faults: What was found so far; told along with what ``check_definition`` finds.
    """

    def __init__(self) -> None:
        self.faults: list[DefinitionFault] = []

    def read(self, message: definition_pb2.WorkflowDefinition) -> WorkflowDefinition:
        """Returns the definition with every default filled in; check it before use."""
        groups = tuple(
            tuple(
                self._stage(stage, f"definition.groups.{group_index}.stages.{index}")
                for index, stage in enumerate(group.stages)
            )
            for group_index, group in enumerate(message.groups)
        )
        return WorkflowDefinition(
            name=message.name,
            groups=groups,
            title=message.title,
            description=message.description,
            input_schema=self._text(message.input_schema, "definition.input_schema"),
            output_schema=self._text(message.output_schema, "definition.output_schema"),
            run_timeout=_timedelta(message.run_timeout) if message.HasField("run_timeout") else None,
        )

    def _stage(self, message: definition_pb2.StageDefinition, field: str) -> StageDefinition:
        mode = MODE_BY_NUMBER.get(message.mode)
        if mode is None:
            self.faults.append(broken_rule(f"{field}.mode", f"{message.mode} is no StageMode"))
        return StageDefinition(
            id=message.id,
            name=message.name or message.id,
            description=message.description,
            mode=mode or StageMode.SYNC,
            input_schema=self._text(message.input_schema, f"{field}.input_schema"),
            output_schema=self._text(message.output_schema, f"{field}.output_schema"),
            config_schema=self._text(message.config_schema, f"{field}.config_schema"),
            default_config=self._text(message.default_config, f"{field}.default_config") or "{}",
            accepts_any_input=message.accepts_any_input,
            dependencies=tuple(dict.fromkeys(message.dependencies)),
            retry=_retry(message.retry_policy),
            timeouts=_timeouts(message.timeouts),
            required_labels=dict(message.required_labels),
        )

    def _text(self, text: bytes, field: str) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            description = f"is not UTF-8: byte {text[error.start]:#04x} at position {error.start}"
            self.faults.append(DefinitionFault(Reason.MALFORMED_JSON, FieldViolation(field, description)))
            return ""


def _retry(message: definition_pb2.RetryPolicy) -> RetryPolicy:
    default = RetryPolicy()
    initial = _timedelta(message.initial_backoff) if message.HasField("initial_backoff") else None
    longest = _timedelta(message.max_backoff) if message.HasField("max_backoff") else None
    return RetryPolicy(
        max_attempts=message.max_attempts or default.max_attempts,
        initial_backoff=default.initial_backoff if initial is None else initial,
        max_backoff=default.max_backoff if longest is None else longest,
        backoff_factor=message.backoff_factor or default.backoff_factor,
        jitter=message.jitter if message.HasField("jitter") else default.jitter,
        non_retryable_error_types=tuple(message.non_retryable_error_types),
    )


def _timeouts(message: definition_pb2.StageTimeouts) -> StageTimeouts:
    return StageTimeouts(
        _timedelta(message.schedule_to_start) if message.HasField("schedule_to_start") else None,
        _timedelta(message.start_to_close) if message.HasField("start_to_close") else None,
        _timedelta(message.heartbeat) if message.HasField("heartbeat") else None,
    )


def _timedelta(message: Duration) -> timedelta:
    seconds = max(-_DURATION_SECONDS_MAX, min(message.seconds, _DURATION_SECONDS_MAX))
    return timedelta(seconds=seconds, microseconds=message.nanos / 1000)


def workflow_message(workflow: RegisteredWorkflow, *, outline: bool = False) -> definition_pb2.Workflow:
    """Returns a registered workflow; with ``outline`` only what lists tell: ids, names and modes."""
    write = _stage_outline if outline else _stage_message
    definition = workflow.definition
    return definition_pb2.Workflow(
        namespace=workflow.namespace,
        definition=definition_pb2.WorkflowDefinition(
            name=definition.name,
            title=definition.title,
            description=definition.description,
            input_schema=b"" if outline else definition.input_schema.encode(),
            output_schema=b"" if outline else definition.output_schema.encode(),
            groups=[definition_pb2.StageGroup(stages=map(write, group)) for group in definition.groups],
            run_timeout=None if outline else duration_of(definition.run_timeout),
        ),
        version=workflow.version,
        digest=bytes.fromhex(workflow.digest),
        create_time=timestamp_of(workflow.created_at),
    )


def _stage_outline(stage: StageDefinition) -> definition_pb2.StageDefinition:
    return definition_pb2.StageDefinition(id=stage.id, name=stage.name, mode=NUMBER_BY_MODE[stage.mode])


def _stage_message(stage: StageDefinition) -> definition_pb2.StageDefinition:
    return definition_pb2.StageDefinition(
        id=stage.id,
        name=stage.name,
        description=stage.description,
        mode=NUMBER_BY_MODE[stage.mode],
        input_schema=stage.input_schema.encode(),
        output_schema=stage.output_schema.encode(),
        config_schema=stage.config_schema.encode(),
        default_config=stage.default_config.encode(),
        accepts_any_input=stage.accepts_any_input,
        dependencies=stage.dependencies,
        retry_policy=_retry_message(stage.retry),
        timeouts=_timeouts_message(stage.timeouts),
        required_labels=dict(stage.required_labels),
    )


def _retry_message(retry: RetryPolicy) -> definition_pb2.RetryPolicy:
    return definition_pb2.RetryPolicy(
        max_attempts=retry.max_attempts,
        initial_backoff=duration_of(retry.initial_backoff),
        max_backoff=duration_of(retry.max_backoff),
        backoff_factor=retry.backoff_factor,
        jitter=retry.jitter,
        non_retryable_error_types=retry.non_retryable_error_types,
    )


def _timeouts_message(timeouts: StageTimeouts) -> definition_pb2.StageTimeouts:
    return definition_pb2.StageTimeouts(
        schedule_to_start=duration_of(timeouts.schedule_to_start),
        start_to_close=duration_of(timeouts.start_to_close),
        heartbeat=duration_of(timeouts.heartbeat),
    )


def duration_of(value: timedelta | None) -> Duration | None:
    """Returns a duration as a message; None stays unset."""
    if value is None:
        return None
    message = Duration()
    message.FromTimedelta(value)
    return message
