"""What must hold of a workflow definition, bar its JSON texts (``stageline_engine.definitions`` checks those).

Every fault is told at once, with the path of its field as the caller wrote it.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

from stageline_engine import limits
from stageline_engine.model.definition import RetryPolicy, StageDefinition, StageTimeouts, WorkflowDefinition
from stageline_engine.model.labels import label_violations
from stageline_engine.rejections import FieldViolation, Reason

_NAME = re.compile(limits.NAME_PATTERN)


class DefinitionFault(NamedTuple):
    """One thing wrong with a definition; ``reason`` is the one to tell where nothing else is wrong."""

    reason: Reason
    violation: FieldViolation


def broken_rule(field: str, description: str) -> DefinitionFault:
    """A fault of the plain kind."""
    return DefinitionFault(Reason.INVALID_DEFINITION, FieldViolation(field, description))


def structure_faults(definition: WorkflowDefinition) -> Iterator[DefinitionFault]:
    """Yields every fault of names, groups, dependencies, policies and sizes."""
    yield from name_faults(definition.name, "definition.name")
    yield from _text_faults(definition.title, definition.description, "definition", "title")
    yield from _group_faults(definition)
    yield from _duplicate_faults(definition)
    yield from _dependency_faults(definition)
    yield from _duration_faults(definition.run_timeout, timedelta(0), "definition.run_timeout")
    for field, stage in located_stages(definition):
        yield from _stage_faults(stage, field)


def located_stages(definition: WorkflowDefinition) -> Iterator[tuple[str, StageDefinition]]:
    """Yields each stage with its path, such as ``definition.groups.1.stages.0``."""
    for group_index, group in enumerate(definition.groups):
        for stage_index, stage in enumerate(group):
            yield f"definition.groups.{group_index}.stages.{stage_index}", stage


def name_faults(name: str, field: str) -> Iterator[DefinitionFault]:
    """Yields what is wrong with a workflow's name or a stage's id."""
    if not name:
        yield broken_rule(field, "is required")
    elif not _NAME.fullmatch(name):
        shown = name if len(name) <= limits.NAME_LENGTH_MAX else f"a text of {len(name)} characters"
        yield broken_rule(
            field,
            f"must be 1 to {limits.NAME_LENGTH_MAX} of a-z, 0-9, '.', '_' and '-', "
            f"with a letter or digit at both ends, but is {shown!r}",
        )


def _text_faults(title: str, description: str, field: str, title_field: str) -> Iterator[DefinitionFault]:
    if len(title) > limits.TITLE_LENGTH_MAX:
        yield broken_rule(
            f"{field}.{title_field}", f"{len(title)} characters, limit {limits.TITLE_LENGTH_MAX}"
        )
    size_bytes = len(description.encode())
    if size_bytes > limits.DESCRIPTION_BYTES_MAX:
        yield broken_rule(
            f"{field}.description", f"{size_bytes} bytes, limit {limits.DESCRIPTION_BYTES_MAX} bytes"
        )
    for name, text in ((title_field, title), ("description", description)):
        if "\0" in text:
            yield broken_rule(f"{field}.{name}", "contains the character U+0000, which cannot be stored")


def _group_faults(definition: WorkflowDefinition) -> Iterator[DefinitionFault]:
    if not definition.groups:
        yield broken_rule("definition.groups", "is empty; a workflow has at least one group")
    for index, group in enumerate(definition.groups):
        if not group:
            yield broken_rule(f"definition.groups.{index}.stages", "is empty; a group has at least one stage")
        elif len(group) > limits.STAGES_PER_GROUP_MAX:
            yield _too_many(
                f"definition.groups.{index}.stages", len(group), limits.STAGES_PER_GROUP_MAX, "in a group"
            )
    if len(definition.stages) > limits.STAGES_PER_WORKFLOW_MAX:
        yield _too_many(
            "definition.groups", len(definition.stages), limits.STAGES_PER_WORKFLOW_MAX, "in a workflow"
        )


def _too_many(field: str, count: int, count_max: int, where: str) -> DefinitionFault:
    return DefinitionFault(
        Reason.LIMIT_EXCEEDED, FieldViolation(field, f"{count} stages {where}, limit {count_max}")
    )


def _duplicate_faults(definition: WorkflowDefinition) -> Iterator[DefinitionFault]:
    first: dict[str, str] = {}
    for field, stage in located_stages(definition):
        if stage.id and stage.id in first:
            yield broken_rule(f"{field}.id", f"{stage.id!r} is already the id of {first[stage.id]}")
        else:
            first[stage.id] = field


def _dependency_faults(definition: WorkflowDefinition) -> Iterator[DefinitionFault]:
    group_by_id = {stage.id: index for index, group in enumerate(definition.groups) for stage in group}
    for group_index, group in enumerate(definition.groups):
        for stage_index, stage in enumerate(group):
            for position, wanted in enumerate(stage.dependencies):
                field = f"definition.groups.{group_index}.stages.{stage_index}.dependencies.{position}"
                wrong = _why_no_dependency(stage, wanted, group_index, group_by_id.get(wanted))
                if wrong:
                    yield broken_rule(field, wrong)


def _why_no_dependency(stage: StageDefinition, wanted: str, own_group: int, group: int | None) -> str:
    if wanted == stage.id:
        return f"stage {stage.id!r} depends on itself"
    if group is None:
        return f"there is no stage {wanted[: limits.NAME_LENGTH_MAX]!r} in this workflow"
    if group == own_group:
        return f"stage {wanted!r} is in the same group; only stages of earlier groups are complete by then"
    if group > own_group:
        return f"stage {wanted!r} is in a later group; only stages of earlier groups are complete by then"
    return ""


def _stage_faults(stage: StageDefinition, field: str) -> Iterator[DefinitionFault]:
    yield from name_faults(stage.id, f"{field}.id")
    yield from _text_faults(stage.name, stage.description, field, "name")
    yield from _retry_faults(stage.retry, f"{field}.retry_policy")
    yield from _timeout_faults(stage.timeouts, f"{field}.timeouts")
    for violation in label_violations(stage.required_labels, f"{field}.required_labels"):
        yield DefinitionFault(Reason.INVALID_DEFINITION, violation)
    if stage.accepts_any_input and stage.input_schema:
        yield broken_rule(
            f"{field}.input_schema", "must be empty, as accepts_any_input says that there is no input"
        )


def _retry_faults(retry: RetryPolicy, field: str) -> Iterator[DefinitionFault]:
    if not 1 <= retry.max_attempts <= limits.ATTEMPTS_MAX:
        yield broken_rule(
            f"{field}.max_attempts", f"must be 1 to {limits.ATTEMPTS_MAX}, but is {retry.max_attempts}"
        )
    for name, backoff in (("initial_backoff", retry.initial_backoff), ("max_backoff", retry.max_backoff)):
        if not timedelta(0) <= backoff <= limits.RETRY_BACKOFF_MAX:
            yield broken_rule(
                f"{field}.{name}",
                f"must be 0 s to {_seconds(limits.RETRY_BACKOFF_MAX)}, but is {_seconds(backoff)}",
            )
    if not 1 <= retry.backoff_factor <= limits.BACKOFF_FACTOR_MAX:
        yield broken_rule(
            f"{field}.backoff_factor",
            f"must be 1 to {limits.BACKOFF_FACTOR_MAX:g}, but is {retry.backoff_factor:g}",
        )
    if not 0 <= retry.jitter <= 1:
        yield broken_rule(f"{field}.jitter", f"must be 0 to 1, but is {retry.jitter:g}")
    yield from _error_type_faults(retry.non_retryable_error_types, f"{field}.non_retryable_error_types")


def _error_type_faults(names: tuple[str, ...], field: str) -> Iterator[DefinitionFault]:
    if len(names) > limits.ERROR_TYPES_MAX:
        yield broken_rule(field, f"{len(names)} names, limit {limits.ERROR_TYPES_MAX}")
    for index, name in enumerate(names):
        if not 0 < len(name) <= limits.ERROR_TYPE_LENGTH_MAX or "\0" in name:
            yield broken_rule(
                f"{field}.{index}",
                f"{len(name)} characters, allowed 1 to {limits.ERROR_TYPE_LENGTH_MAX} without U+0000",
            )


def _timeout_faults(timeouts: StageTimeouts, field: str) -> Iterator[DefinitionFault]:
    for name in ("schedule_to_start", "start_to_close", "heartbeat"):
        least = limits.STAGE_HEARTBEAT_MIN if name == "heartbeat" else timedelta(0)
        yield from _duration_faults(getattr(timeouts, name), least, f"{field}.{name}")


def _duration_faults(value: timedelta | None, least: timedelta, field: str) -> Iterator[DefinitionFault]:
    """Yields what is wrong with a limit of time that is set."""
    if value is None or (timedelta(0) < value <= limits.STAGE_TIMEOUT_MAX and value >= least):
        return
    bound = f"at least {_seconds(least)}" if least else "above 0 s"
    yield broken_rule(
        field, f"must be {bound} and at most {_seconds(limits.STAGE_TIMEOUT_MAX)}, but is {_seconds(value)}"
    )


def _seconds(value: timedelta) -> str:
    return f"{value.total_seconds():g} s"
