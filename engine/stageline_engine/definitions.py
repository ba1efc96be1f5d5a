"""Accepts a workflow definition: all its faults at once, or its digest.

The digest is over the meaning, not the bytes: the order of keys and the white space of a schema do not make a version.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import orjson

from stageline_engine import limits, payloads
from stageline_engine.model.definition import StageDefinition, WorkflowDefinition
from stageline_engine.model.definition_checks import (
    DefinitionFault,
    broken_rule,
    located_stages,
    structure_faults,
)
from stageline_engine.rejections import FieldViolation, Reason, Rejection


def check_definition(
    definition: WorkflowDefinition, known: Iterable[DefinitionFault] = ()
) -> Rejection | None:
    """Says why a definition cannot be registered; None where it can.

    Args:
        definition: The definition, with every default filled in.
        known: Faults that were found before, while it was being read; they are told along.
    """
    faults = [*known, *structure_faults(definition), *_text_faults(definition)]
    if faults:
        return _rejection(definition.name, faults)
    size_bytes = len(canonical_json(definition))
    if size_bytes > limits.DEFINITION_BYTES_MAX:
        return payloads.too_large("definition", size_bytes, limits.DEFINITION_BYTES_MAX)
    return None


def digest(definition: WorkflowDefinition) -> str:
    """SHA-256 over the canonical JSON of a definition that was accepted, in hex."""
    return hashlib.sha256(canonical_json(definition)).hexdigest()


def canonical_json(definition: WorkflowDefinition) -> bytes:
    """One form for each meaning: keys sorted, no white space, schemas as JSON values, durations in seconds."""
    value = {
        "name": definition.name,
        "title": definition.title,
        "description": definition.description,
        "input_schema": _value(definition.input_schema),
        "output_schema": _value(definition.output_schema),
        "groups": [[_stage_value(stage) for stage in group] for group in definition.groups],
    }
    if (
        definition.run_timeout is not None
    ):  # left out where there is none: digests of older versions stay as they are
        value["run_timeout_seconds"] = definition.run_timeout.total_seconds()
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _stage_value(stage: StageDefinition) -> Mapping[str, Any]:
    retry, timeouts = stage.retry, stage.timeouts
    # Left out where there are none, as run_timeout is.
    labels = {"required_labels": dict(stage.required_labels)} if stage.required_labels else {}
    return labels | {
        "id": stage.id,
        "name": stage.name,
        "description": stage.description,
        "mode": stage.mode.value,
        "input_schema": _value(stage.input_schema),
        "output_schema": _value(stage.output_schema),
        "config_schema": _value(stage.config_schema),
        "default_config": _value(stage.default_config),
        "accepts_any_input": stage.accepts_any_input,
        "dependencies": stage.dependencies,
        "retry": {
            "max_attempts": retry.max_attempts,
            "initial_backoff_seconds": retry.initial_backoff.total_seconds(),
            "max_backoff_seconds": retry.max_backoff.total_seconds(),
            "backoff_factor": float(retry.backoff_factor),
            "jitter": float(retry.jitter),
            "non_retryable_error_types": retry.non_retryable_error_types,
        },
        "timeouts": {
            "schedule_to_start_seconds": _seconds(timeouts.schedule_to_start),
            "start_to_close_seconds": _seconds(timeouts.start_to_close),
            "heartbeat_seconds": _seconds(timeouts.heartbeat),
        },
    }


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()


def _value(text: str) -> Any:
    """The JSON value of a text; an empty text is no value."""
    return orjson.loads(text) if text else None


def _text_faults(definition: WorkflowDefinition) -> Iterator[DefinitionFault]:
    """Yields what is wrong with the schemas and default configs."""
    yield from _schema_faults(definition.input_schema, "definition.input_schema")
    yield from _schema_faults(definition.output_schema, "definition.output_schema")
    for field, stage in located_stages(definition):
        for name in ("input_schema", "output_schema", "config_schema"):
            yield from _schema_faults(getattr(stage, name), f"{field}.{name}")
        yield from _default_config_faults(stage, field)


def _parsed(text: str, field: str) -> Any | DefinitionFault:
    value = payloads.parse(text.encode(), field, limits.SCHEMA_BYTES_MAX)
    if isinstance(value, Rejection):
        return DefinitionFault(value.reason, value.violations[0])
    return value


def _schema_faults(schema: str, field: str) -> Iterator[DefinitionFault]:
    if not schema:
        return
    value = _parsed(schema, field)
    if isinstance(value, DefinitionFault):
        yield value
        return
    wrong = payloads.schema_error(schema)
    if wrong:
        yield broken_rule(field, f"is not a JSON Schema: {wrong[:300]}")


def _default_config_faults(stage: StageDefinition, stage_field: str) -> Iterator[DefinitionFault]:
    field = f"{stage_field}.default_config"
    value = _parsed(stage.default_config, field)
    if isinstance(value, DefinitionFault):
        yield value
    elif not isinstance(value, dict):
        yield broken_rule(field, "must be a JSON object")
    elif not any(_schema_faults(stage.config_schema, field)) and not _has_required_keys(stage.config_schema):
        for violation in payloads.violations(stage.config_schema, value, field):
            yield DefinitionFault(Reason.INVALID_DEFINITION, violation)


def _has_required_keys(schema: str) -> bool:
    """Whether a run must bring values of its own: then the defaults alone cannot be judged."""
    value = _value(schema)
    return isinstance(value, dict) and bool(value.get("required"))


def _rejection(name: str, faults: list[DefinitionFault]) -> Rejection:
    """One rejection of many faults: of one kind under its own reason, of several as an invalid definition."""
    reasons = {fault.reason for fault in faults}
    reason = reasons.pop() if len(reasons) == 1 else Reason.INVALID_DEFINITION
    told: tuple[FieldViolation, ...] = tuple(fault.violation for fault in faults[: payloads.VIOLATIONS_MAX])
    first = told[0]
    more = f" ({len(faults)} faults in all.)" if len(faults) > 1 else ""
    message = f"The definition of workflow {name[:128]!r} cannot be accepted: {first.field} {first.description}.{more}"
    metadata = {"field": first.field, "violation_count": str(len(faults))}
    return Rejection(reason, message, metadata, told)
