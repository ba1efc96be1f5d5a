"""Why a job that could start now has not: no worker has its stage, or those that do have no slot for it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.model.labels import labels_satisfy, labels_text
from stageline_engine.model.session import WorkerKind


class Lack(StrEnum):
    """What a ready job lacks. The names are those of ``stageline.v1.WaitingReason``."""

    NO_WORKER = "NO_WORKER"
    NO_FREE_SLOT = "NO_FREE_SLOT"


class Shortage(NamedTuple):
    """What a ready job lacks, and a sentence about it for people."""

    lack: Lack
    detail: str


def shortage(workflow: RegisteredWorkflow, stage_id: str, kinds: Sequence[WorkerKind]) -> Shortage:
    """Says why a ready job of a stage waits.

    Args:
        workflow: The version that the run is pinned to.
        stage_id: The stage.
        kinds: The workers of the namespace that are connected, to whatever server.
    """
    definition = workflow.definition
    required = definition.stages[definition.number_by_id[stage_id] - 1].required_labels
    named = f'stage "{stage_id}" of workflow "{definition.name}" version {workflow.version}'
    having = [kind for kind in kinds if any(stages.names(workflow, stage_id) for stages in kind.stages)]
    able = [kind for kind in having if labels_satisfy(kind.labels, required)]
    if able:
        workers, slots = _count(able), sum(kind.slots for kind in able)
        whose = f"{_some(workers, 'worker')} with {_some(slots, 'slot')} {_have(workers)}"
        return Shortage(Lack.NO_FREE_SLOT, f"{whose} {named}, and none of them is free")
    if having:
        workers = _count(having)
        text = (
            f"no worker with the labels {labels_text(required)} has {named}; "
            f"{_some(workers, 'worker')} {_have(workers)} it without them"
        )
        return Shortage(Lack.NO_WORKER, text)
    labelled = f" with the labels {labels_text(required)}" if required else ""
    return Shortage(Lack.NO_WORKER, f"no worker{labelled} has {named}{_other_versions(workflow, kinds)}")


def _other_versions(workflow: RegisteredWorkflow, kinds: Sequence[WorkerKind]) -> str:
    """The versions of the same workflow that workers do have: most often that is the mistake."""
    name = workflow.definition.name
    versions = {
        stages.workflow_version for kind in kinds for stages in kind.stages if stages.workflow_name == name
    } - {workflow.version}
    return f"; workers have version {', '.join(map(str, sorted(versions)))}" if versions else ""


def _count(kinds: Sequence[WorkerKind]) -> int:
    return sum(kind.sessions for kind in kinds)


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
