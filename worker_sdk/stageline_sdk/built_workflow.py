"""A workflow that was checked and does not change any more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from stageline_sdk._schemas import Schema, joined_schema, schema_of
from stageline_sdk._violations import violations_of
from stageline_sdk.errors import ConfigError, FieldViolation, UnknownStageError
from stageline_sdk.stage import Stage

InputT_contra = TypeVar("InputT_contra", contravariant=True)
OutputT_co = TypeVar("OutputT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """Where a stage stands in a workflow.

    Attributes:
        stage: The stage.
        number: Its number in the order of definition; the first stage is 1.
        group: The number of its group; the first group is 1.
    """

    stage: Stage[Any, Any, Any]
    number: int
    group: int


@dataclass(frozen=True, kw_only=True, eq=False)
class BuiltWorkflow(Generic[InputT_contra, OutputT_co]):
    """A workflow as `Workflow(...).build()` returns it. Immutable.

    Attributes:
        name: Unique in the namespace.
        title: For people.
        description: For people; may be empty.
        input_type: The type of a run's input.
        groups: The stages of each group, in order; `groups[0]` is group 1.
        run_timeout: How long a run may take from its start; None for no limit.
    """

    name: str
    title: str
    description: str
    input_type: Any
    groups: tuple[tuple[Stage[Any, Any, Any], ...], ...]
    run_timeout: timedelta | None = None

    @cached_property
    def plan(self) -> tuple[PlannedStage, ...]:
        """Every stage with its number and group, in the order of definition."""
        in_order = [(stage, group) for group, stages in enumerate(self.groups, 1) for stage in stages]
        return tuple(PlannedStage(stage, number, group) for number, (stage, group) in enumerate(in_order, 1))

    @cached_property
    def stages(self) -> tuple[Stage[Any, Any, Any], ...]:
        """Every stage, in the order of definition."""
        return tuple(planned.stage for planned in self.plan)

    @cached_property
    def stage_ids(self) -> tuple[str, ...]:
        """The id of every stage, in the order of definition."""
        return tuple(stage.id for stage in self.stages)

    @cached_property
    def input_schema(self) -> Schema:
        """JSON Schema of a run's input; `{}` if it accepts anything."""
        return schema_of(self.input_type, "validation")

    @cached_property
    def output_schema(self) -> Schema:
        """JSON Schema of a run's output: that of the last stage, or an object keyed by stage id after a parallel group."""
        last = self.groups[-1]
        if len(last) == 1:
            return last[0].output_schema
        return joined_schema({stage.id: stage.output_schema for stage in last})

    def has_stage(self, stage_id: str) -> bool:
        """Whether it has a stage of this id."""
        return stage_id in self._planned_by_id

    def get_stage(self, stage_id: str) -> Stage[Any, Any, Any]:
        """Return the stage of this id.

        Raises:
            UnknownStageError: There is none; the message lists the ids there are.
        """
        return self.locate(stage_id).stage

    def locate(self, stage_id: str) -> PlannedStage:
        """Return where the stage of this id stands.

        Raises:
            UnknownStageError: There is none; the message lists the ids there are.
        """
        planned = self._planned_by_id.get(stage_id)
        if planned is None:
            raise UnknownStageError(self._unknown(stage_id), stage_id=stage_id, available=self.stage_ids)
        return planned

    def default_config(self) -> dict[str, dict[str, Any]]:
        """Return the default config of every stage, by stage id; `{}` for a stage without defaults."""
        return {stage.id: dict(stage.default_config) for stage in self.stages}

    def config_violations(self, config: Mapping[str, Any]) -> tuple[FieldViolation, ...]:
        """Return everything that is wrong with a run's config, in the order of the stages; empty if nothing is.

        Args:
            config: For each stage id, the stage's own values over its defaults. Stages may be left out.
        """
        violations = [
            FieldViolation(f"config.{stage_id}", self._unknown(stage_id))
            for stage_id in config
            if not self.has_stage(stage_id)
        ]
        for stage in self.stages:
            try:
                stage.config_type.model_validate(config.get(stage.id, {}))
            except ValidationError as error:
                violations.extend(violations_of(error, f"config.{stage.id}"))
        return tuple(violations)

    def validate_config(self, config: Mapping[str, Any]) -> None:
        """Check a run's config against the config models of all stages.

        Args:
            config: For each stage id, the stage's own values over its defaults. Stages may be left out.

        Raises:
            ConfigError: Something is wrong; it holds every violation of every stage.
        """
        violations = self.config_violations(config)
        if violations:
            lines = "\n".join(f"  - {violation}" for violation in violations)
            raise ConfigError(
                f"the config does not fit workflow {self.name!r}:\n{lines}", violations=violations
            )

    @cached_property
    def _planned_by_id(self) -> Mapping[str, PlannedStage]:
        return {planned.stage.id: planned for planned in self.plan}

    def _unknown(self, stage_id: str) -> str:
        return f"workflow {self.name!r} has no stage {stage_id!r}; its stages are: {_listed(self.stage_ids)}"

    def __repr__(self) -> str:
        plan = " -> ".join("[" + _listed([stage.id for stage in group]) + "]" for group in self.groups)
        return f"BuiltWorkflow({self.name!r}: {plan})"


def _listed(ids: Sequence[str], shown_max: int = 50) -> str:
    more = len(ids) - shown_max
    return ", ".join(ids[:shown_max]) + (f" and {more} more" if more > 0 else "")
