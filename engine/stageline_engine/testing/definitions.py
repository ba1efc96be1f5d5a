"""Workflow definitions in one line."""

import hashlib
from collections.abc import Sequence
from typing import Any

from stageline_engine.model.definition import StageDefinition, WorkflowDefinition

Group = str | StageDefinition | Sequence[str | StageDefinition]
"""One stage, or several parallel ones; a stage of which only the id matters is that id."""


def stage(stage_id: str, **fields: Any) -> StageDefinition:
    """Returns a stage that accepts anything; its name is its id in title case.

    Args:
        stage_id: The id.
        fields: Fields of ``StageDefinition`` to set.
    """
    return StageDefinition(id=stage_id, **{"name": stage_id.replace("-", " ").title(), **fields})


def workflow(name: str, *groups: Group, **fields: Any) -> WorkflowDefinition:
    """Returns a workflow of these groups.

    Args:
        name: The workflow's name.
        groups: In order.
        fields: Fields of ``WorkflowDefinition`` to set.
    """
    return WorkflowDefinition(name=name, groups=tuple(_group(group) for group in groups), **fields)


def _group(group: Group) -> tuple[StageDefinition, ...]:
    members = [group] if isinstance(group, str | StageDefinition) else group
    return tuple(stage(member) if isinstance(member, str) else member for member in members)


def digest_of(definition: WorkflowDefinition) -> str:
    """Returns a digest that is the same for equal definitions. It is not the one that servers compute."""
    return hashlib.sha256(repr(definition).encode()).hexdigest()
