"""Workflow definitions as stored JSON. Fields that a stored text lacks take their defaults; unknown ones are ignored."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import orjson

from stageline_engine.model.definition import (
    RetryPolicy,
    StageDefinition,
    StageMode,
    StageTimeouts,
    WorkflowDefinition,
)

_MICROSECOND = timedelta(microseconds=1)
_WORKFLOW_TEXTS = ("name", "title", "description", "input_schema", "output_schema")
_STAGE_VALUES = (
    "id",
    "name",
    "description",
    "input_schema",
    "output_schema",
    "config_schema",
    "default_config",
    "accepts_any_input",
    "required_labels",
)


def encode(definition: WorkflowDefinition) -> str:
    """Returns a definition as JSON; durations are whole microseconds."""
    values = {name: getattr(definition, name) for name in (*_WORKFLOW_TEXTS, "run_timeout")}
    groups = [[asdict(stage) for stage in group] for group in definition.groups]
    return orjson.dumps(values | {"groups": groups}, default=_plain).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value // _MICROSECOND
    raise TypeError(f"{type(value).__name__} has no form in a stored definition")


def decode(text: str) -> WorkflowDefinition:
    """Returns a stored definition."""
    stored = orjson.loads(text)
    groups = tuple(tuple(_stage(stage) for stage in group) for group in stored["groups"])
    return WorkflowDefinition(
        groups=groups, run_timeout=_duration(stored.get("run_timeout")), **_given(stored, _WORKFLOW_TEXTS)
    )


def _stage(stored: Mapping[str, Any]) -> StageDefinition:
    return StageDefinition(
        mode=StageMode(stored.get("mode", StageMode.SYNC)),
        dependencies=tuple(stored.get("dependencies", ())),
        retry=_retry(stored.get("retry", {})),
        timeouts=StageTimeouts(
            **{name: _duration(value) for name, value in stored.get("timeouts", {}).items()}
        ),
        **_given(stored, _STAGE_VALUES),
    )


def _retry(stored: Mapping[str, Any]) -> RetryPolicy:
    given = _given(stored, ("max_attempts", "backoff_factor", "jitter"))
    for name in ("initial_backoff", "max_backoff"):
        if name in stored:
            given[name] = _duration(stored[name])
    return RetryPolicy(non_retryable_error_types=tuple(stored.get("non_retryable_error_types", ())), **given)


def _given(stored: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: stored[name] for name in names if name in stored}


def _duration(microseconds: int | None) -> timedelta | None:
    return None if microseconds is None else timedelta(microseconds=microseconds)
