"""Checks a request to create a run, before any transaction: every fault at once, or a run that can be accepted."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from stageline_engine import limits, payloads
from stageline_engine.commands import CreateRun
from stageline_engine.decide.create import AcceptedRun
from stageline_engine.events import Annotation
from stageline_engine.model.definition import RegisteredWorkflow, WorkflowDefinition
from stageline_engine.model.labels import label_violations
from stageline_engine.model.stored_payload import StoredPayload
from stageline_engine.rejections import FieldViolation, Reason, Rejection, out_of_limits


def accept(command: CreateRun, workflow: RegisteredWorkflow, now: datetime) -> AcceptedRun | Rejection:
    """Checks input, config, priority, labels and start against the workflow and the limits.

    Args:
        command: The request.
        workflow: The version that the run would be pinned to.
        now: The present time.
    """
    wrong = (*_field_violations(command), *_start_violations(command, now))
    if wrong:
        return out_of_limits(wrong)
    refusal = _input_refusal(command.input, workflow.definition)
    if refusal is not None:
        return refusal
    config = merged_config(command.config, workflow)
    if isinstance(config, Rejection):
        return config
    return AcceptedRun(
        workflow,
        command.input.decode(),
        config,
        command.priority,
        command.labels,
        command.annotations,
        command.start_at if command.start_delay is None else now + command.start_delay,
    )


def _input_refusal(given: bytes, definition: WorkflowDefinition) -> Rejection | None:
    if isinstance(given, StoredPayload):
        return payloads.check_stored(given, "input")
    value = payloads.parse(given, "input")
    return value if isinstance(value, Rejection) else input_refusal(definition, value)


def input_refusal(definition: WorkflowDefinition, value: Any) -> Rejection | None:
    """Says why a parsed input breaks its workflow's schema; None where it does not."""
    wrong = payloads.violations(definition.input_schema, value, "input")
    if not wrong:
        return None
    message = f"The input of workflow {definition.name} breaks its schema in {len(wrong)} place(s)."
    return Rejection(Reason.INVALID_INPUT, message, {"workflow_name": definition.name}, wrong)


def merged_config(config: bytes, workflow: RegisteredWorkflow) -> str | Rejection:
    """Merges a run's config over the stages' defaults, field by field, and checks every slice.

    Args:
        config: JSON text of an object keyed by stage id.
        workflow: The run's version.

    Returns:
        JSON text with a slice for each stage.
    """
    given = payloads.parse(config, "config")
    if isinstance(given, Rejection):
        return given
    if not isinstance(given, dict):
        wrong: tuple[FieldViolation, ...] = (FieldViolation("config", "must be an object keyed by stage id"),)
        return Rejection(Reason.INVALID_CONFIG, "config must be an object keyed by stage id.", {}, wrong)
    return _merged(given, workflow)


def _merged(given: Mapping[str, Any], workflow: RegisteredWorkflow) -> str | Rejection:
    merged: dict[str, Any] = {}
    wrong: tuple[FieldViolation, ...] = (*_unknown_stages(given, workflow), *_merge(given, workflow, merged))
    if wrong:
        message = f"The config of workflow {workflow.definition.name} is wrong in {len(wrong)} place(s)."
        return Rejection(Reason.INVALID_CONFIG, message, {"workflow_name": workflow.definition.name}, wrong)
    text = orjson.dumps(merged)
    if len(text) > limits.PAYLOAD_INLINE_BYTES_MAX:
        return payloads.too_large("config", len(text), limits.PAYLOAD_INLINE_BYTES_MAX)
    return text.decode()


def overridden_config(config: str, override: bytes, workflow: RegisteredWorkflow) -> str | Rejection:
    """Puts the slices of some stages in the place of a run's, and checks the whole.

    Args:
        config: The run's config.
        override: JSON text of an object keyed by stage id.
        workflow: The run's version.

    Returns:
        JSON text with a slice for each stage.
    """
    given = payloads.parse(override, "config")
    if isinstance(given, Rejection):
        return given
    if not isinstance(given, dict):
        return merged_config(override, workflow)  # it says what is wrong
    return _merged({**orjson.loads(config), **given}, workflow)


def _unknown_stages(given: Mapping[str, Any], workflow: RegisteredWorkflow) -> Iterator[FieldViolation]:
    known = workflow.definition.number_by_id
    for stage_id in given:
        if stage_id not in known:
            yield FieldViolation(
                f"config.{stage_id}", f"no such stage; the stages are {', '.join(list(known)[:20])}"
            )


def _merge(
    given: Mapping[str, Any], workflow: RegisteredWorkflow, merged: dict[str, Any]
) -> Iterator[FieldViolation]:
    """Fills ``merged`` and yields what is wrong with any slice."""
    for stage in workflow.definition.stages:
        slice_ = given.get(stage.id, {})
        field = f"config.{stage.id}"
        if not isinstance(slice_, dict):
            yield FieldViolation(field, "must be an object")
            continue
        value = {**orjson.loads(stage.default_config), **slice_}
        yield from payloads.violations(stage.config_schema, value, field)
        if value:
            merged[stage.id] = value


def _field_violations(command: CreateRun) -> Iterator[FieldViolation]:
    if not limits.PRIORITY_MIN <= command.priority <= limits.PRIORITY_MAX:
        bounds = f"{limits.PRIORITY_MIN} to {limits.PRIORITY_MAX}"
        yield FieldViolation("priority", f"must be {bounds}, but is {command.priority}")
    yield from request_id_violations(command.idempotency_key)
    yield from label_violations(command.labels)
    yield from annotation_violations(command.annotations)


def _start_violations(command: CreateRun, now: datetime) -> Iterator[FieldViolation]:
    limit = limits.START_DELAY_MAX
    if command.start_delay is not None and not timedelta(0) <= command.start_delay <= limit:
        yield FieldViolation("start_delay", f"{command.start_delay}, must be 0 to {limit} (START_DELAY_MAX)")
    if command.start_at is not None and command.start_at > now + limit:
        ahead = command.start_at - now
        yield FieldViolation("scheduled_start_time", f"{ahead} ahead, limit {limit} (START_DELAY_MAX)")
    if command.start_delay is not None and command.start_at is not None:
        yield FieldViolation("start_delay", "cannot be given together with scheduled_start_time")


def request_id_violations(key: str) -> Iterator[FieldViolation]:
    """Yields what is wrong with an idempotency key."""
    if len(key) > limits.REQUEST_ID_LENGTH_MAX:
        yield FieldViolation("request_id", f"{len(key)} characters, limit {limits.REQUEST_ID_LENGTH_MAX}")
    if "\0" in key:
        yield FieldViolation("request_id", "contains the character U+0000")


def reason_violations(reason: str) -> Iterator[FieldViolation]:
    """Yields what is wrong with a reason that a person wrote."""
    if len(reason) > limits.CANCEL_REASON_LENGTH_MAX:
        yield FieldViolation("reason", f"{len(reason)} characters, limit {limits.CANCEL_REASON_LENGTH_MAX}")
    if "\0" in reason:
        yield FieldViolation("reason", "contains the character U+0000")


def annotation_violations(annotations: Sequence[Annotation]) -> Iterator[FieldViolation]:
    """Yields what is wrong with remarks."""
    if len(annotations) > limits.ANNOTATIONS_PER_CALL_MAX:
        yield FieldViolation("annotations", f"{len(annotations)}, limit {limits.ANNOTATIONS_PER_CALL_MAX}")
    if len({said.id for said in annotations}) < len(annotations):
        yield FieldViolation("annotations", "two have the same annotation_id")
    for index, said in enumerate(annotations):
        field = f"annotations.{index}"
        texts = {"annotation_id": said.id, "key": said.key}
        for name, text in texts.items():
            if not 0 < len(text) <= limits.LABEL_VALUE_LENGTH_MAX or "\0" in text:
                bounds = f"1 to {limits.LABEL_VALUE_LENGTH_MAX}"
                yield FieldViolation(
                    f"{field}.{name}", f"{len(text)} characters, allowed {bounds}, none of them U+0000"
                )
        for name in ("scope", "scope_id", "actor_kind", "actor_id", "actor_version"):
            text = getattr(said, name)
            if len(text) > limits.LABEL_VALUE_LENGTH_MAX or "\0" in text:
                bounds = f"at most {limits.LABEL_VALUE_LENGTH_MAX}"
                yield FieldViolation(
                    f"{field}.{name}", f"{len(text)} characters, allowed {bounds}, none of them U+0000"
                )
        for name, text, bytes_max in (
            ("value", said.value, limits.ANNOTATION_BYTES_MAX),
            ("details", said.details or "{}", limits.ANNOTATION_DETAILS_BYTES_MAX),
        ):
            fault = payloads.parse(text.encode(), f"{field}.{name}", bytes_max)
            if isinstance(fault, Rejection):
                yield from fault.violations
