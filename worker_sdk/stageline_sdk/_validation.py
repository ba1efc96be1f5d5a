"""What a workflow must keep to be built. Every mistake is met here, before anything runs."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stageline_sdk._compatibility import SchemaNode, find_join_problems, find_problems, node_of
from stageline_sdk._limits import (
    DESCRIPTION_BYTES_MAX,
    SCHEMA_BYTES_MAX,
    STAGES_PER_GROUP_MAX,
    STAGES_PER_WORKFLOW_MAX,
    TITLE_LENGTH_MAX,
)
from stageline_sdk._schemas import Schema, schema_of
from stageline_sdk.empty import NoInput
from stageline_sdk.errors import (
    DefinitionError,
    DuplicateStageIdError,
    EmptyGroupError,
    EmptyWorkflowError,
    IncompatibleSchemaError,
    MissingCheckError,
    TooManyStagesError,
    UnknownDependencyError,
)
from stageline_sdk.stage import Stage

if TYPE_CHECKING:
    from stageline_sdk.built_workflow import BuiltWorkflow

AnyStage = Stage[Any, Any, Any]
Group = Sequence[AnyStage]


def check_group(workflow_name: str, stages: Sequence[object]) -> None:
    """Refuse a group that can be seen to be wrong on its own.

    Raises:
        EmptyGroupError: It has no stage.
        TooManyStagesError: It has more stages than a group may hold.
        DefinitionError: One of them is not a stage.
    """
    where = f"workflow {workflow_name!r}"
    if not stages:
        raise EmptyGroupError(
            f"{where}: parallel() needs at least one stage; leave the call out if there is none"
        )
    for stage in stages:
        if not isinstance(stage, Stage):
            raise DefinitionError(
                f"{where}: {stage!r} is not a stage: decorate it with @stage(...){_unpack_hint(stage)}"
            )
    if len(stages) > STAGES_PER_GROUP_MAX:
        raise TooManyStagesError(
            f"{where}: a parallel group may hold {STAGES_PER_GROUP_MAX} stages, got {len(stages)}",
            count=len(stages),
            limit=STAGES_PER_GROUP_MAX,
        )


def check_workflow(workflow: "BuiltWorkflow[Any, Any]") -> None:
    """Refuse a workflow that cannot run as it is defined. See `Workflow.build` for what it raises."""
    _check_count(workflow)
    _check_unique_ids(workflow)
    _check_dependencies(workflow)
    _check_modes(workflow)
    _check_sizes(workflow)
    _check_schemas(workflow)


def _check_count(workflow: "BuiltWorkflow[Any, Any]") -> None:
    where = f"workflow {workflow.name!r}"
    if not workflow.groups:
        raise EmptyWorkflowError(f"{where} has no stage: add one with .pipe(stage) before .build()")
    count = len(workflow.stages)
    if count > STAGES_PER_WORKFLOW_MAX:
        raise TooManyStagesError(
            f"{where}: a workflow may hold {STAGES_PER_WORKFLOW_MAX} stages, got {count}",
            count=count,
            limit=STAGES_PER_WORKFLOW_MAX,
        )


def _check_unique_ids(workflow: "BuiltWorkflow[Any, Any]") -> None:
    group_by_id: dict[str, int] = {}
    for planned in workflow.plan:
        stage_id = planned.stage.id
        if stage_id in group_by_id:
            raise DuplicateStageIdError(
                f"workflow {workflow.name!r} has two stages of the id {stage_id!r}, "
                f"in group {group_by_id[stage_id]} and group {planned.group}: give one of them another id",
                stage_id=stage_id,
            )
        group_by_id[stage_id] = planned.group


def _check_dependencies(workflow: "BuiltWorkflow[Any, Any]") -> None:
    earlier: list[str] = []
    for number, group in enumerate(workflow.groups, 1):
        present = frozenset(earlier)
        for stage in group:
            missing = [each for each in stage.dependencies if each not in present]
            if missing:
                raise UnknownDependencyError(
                    _dependency_message(workflow.name, stage, number, group, missing, earlier),
                    stage_id=stage.id,
                    missing=missing,
                    available=earlier,
                )
        earlier.extend(stage.id for stage in group)


def _dependency_message(
    name: str, stage: AnyStage, number: int, group: Group, missing: Sequence[str], earlier: Sequence[str]
) -> str:
    kind = "parallel group" if len(group) > 1 else "group"
    siblings = [each.id for each in group if each.id in missing]
    advice = (
        f"{', '.join(siblings)} is in the same group, whose stages run side by side: put it in an earlier one"
        if siblings
        else f"add it before, with .pipe({missing[0].replace('-', '_').replace('.', '_')})"
    )
    return (
        f"workflow {name!r}: stage {stage.id!r} of {kind} {number} ({', '.join(each.id for each in group)}) depends on "
        f"{', '.join(missing)}, which no earlier group has; {advice}. Earlier stages: {', '.join(earlier) or 'none'}"
    )


def _check_modes(workflow: "BuiltWorkflow[Any, Any]") -> None:
    for stage in workflow.stages:
        if stage.mode == "async-batch" and stage.check_function is None:
            raise MissingCheckError(
                f"workflow {workflow.name!r}: stage {stage.id!r} is async-batch but nothing asks whether its work is done: "
                f"decorate a function of ctx and state with the stage's .check",
                stage_id=stage.id,
            )


def _check_sizes(workflow: "BuiltWorkflow[Any, Any]") -> None:
    where = f"workflow {workflow.name!r}"
    if len(workflow.title) > TITLE_LENGTH_MAX:
        raise DefinitionError(
            f"{where}: its title may have {TITLE_LENGTH_MAX} characters, got {len(workflow.title)}"
        )
    size = len(workflow.description.encode())
    if size > DESCRIPTION_BYTES_MAX:
        raise DefinitionError(f"{where}: its description may have {DESCRIPTION_BYTES_MAX} bytes, got {size}")
    _check_schema_size(where, "input", workflow.input_schema)
    for stage in workflow.stages:
        for part, schema in (
            ("input", stage.input_schema),
            ("output", stage.output_schema),
            ("config", stage.config_schema),
        ):
            _check_schema_size(f"{where}: stage {stage.id!r}", part, schema)


def _check_schema_size(where: str, part: str, schema: Schema) -> None:
    size = len(json.dumps(schema).encode())
    if size > SCHEMA_BYTES_MAX:
        raise DefinitionError(
            f"{where}: its {part} schema may have {SCHEMA_BYTES_MAX} bytes as JSON, got {size}"
        )


def _check_schemas(workflow: "BuiltWorkflow[Any, Any]") -> None:
    written: dict[str, SchemaNode] = {}
    for number, group in enumerate(workflow.groups, 1):
        for stage in group:
            if stage.accepts_any_input:
                continue
            problems = _problems_of(workflow, stage, written, number)
            if problems:
                lines = "".join(f"\n  - {problem}" for problem in problems)
                source = "the run's input" if number == 1 else f"group {number - 1} ({', '.join(written)})"
                raise IncompatibleSchemaError(
                    f"workflow {workflow.name!r}: stage {stage.id!r} of group {number} cannot read {source}:{lines}",
                    stage_id=stage.id,
                    problems=problems,
                )
        written = {stage.id: node_of(stage.output_schema) for stage in group}


def _problems_of(
    workflow: "BuiltWorkflow[Any, Any]", stage: AnyStage, written: dict[str, SchemaNode], number: int
) -> list[str]:
    read = node_of(stage.input_schema)
    if number == 1 and workflow.input_type is NoInput:
        return ["runs of this workflow have no input (input=NoInput)"] if stage.input_schema else []
    if number == 1:
        return find_problems(node_of(schema_of(workflow.input_type, "validation")), read)
    if len(written) == 1:
        return find_problems(next(iter(written.values())), read)
    return find_join_problems(written, read)


def _unpack_hint(value: object) -> str:
    return "; to add a list of stages write .parallel(*stages)" if isinstance(value, list | tuple) else ""
