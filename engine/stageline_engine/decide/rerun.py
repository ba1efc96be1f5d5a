"""Running an ended run again from a stage's group on. What lies before is kept; what was spent stays spent."""

from collections.abc import Iterator
from datetime import datetime

from stageline_engine import events
from stageline_engine.decide.advance import start_group
from stageline_engine.decide.view import RunView
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.rejections import Reason, Rejection

IDS_TOLD_MAX = 50
"""Stage ids that one message lists."""


def refuse_rerun(view: RunView, from_stage_id: str) -> Rejection | None:
    """Says why a run cannot be run again from a stage; None where it can.

    Args:
        view: The run with all its stages.
        from_stage_id: The stage.
    """
    run, definition = view.run, view.workflow.definition
    facts = {"run_id": str(run.id), "stage_id": from_stage_id}
    if run.state not in (RunState.COMPLETED, RunState.FAILED):
        message = f"Only a COMPLETED or FAILED run can be rerun, but the run is {run.state}."
        return Rejection(Reason.RUN_NOT_RERUNNABLE, message, facts | {"state": run.state.value})
    number = definition.number_by_id.get(from_stage_id)
    if number is None:
        valid = ",".join(list(definition.number_by_id)[:IDS_TOLD_MAX])
        message = f"Workflow {definition.name} version {run.workflow_version} has no stage {from_stage_id!r}."
        names = {"workflow_name": definition.name, "workflow_version": str(run.workflow_version)}
        return Rejection(Reason.STAGE_NOT_FOUND, message, facts | names | {"valid_stage_ids": valid})
    incomplete = [
        definition.stages[earlier - 1].id
        for earlier, group in definition.groups_by_number()
        if group < _group_of(view, number) and not _complete(view, earlier)
    ]
    if incomplete:
        told = ",".join(incomplete[:IDS_TOLD_MAX])
        message = f"Stage {from_stage_id} needs the outputs of stages that are not complete: {told}. Rerun from them."
        return Rejection(Reason.PREDECESSORS_INCOMPLETE, message, facts | {"incomplete_stage_ids": told})
    return None


def decide_rerun(
    view: RunView, from_stage_id: str, reason: str, config: str | None, now: datetime
) -> Iterator[events.Event]:
    """Yields a rerun that ``refuse_rerun`` has nothing against: the whole group of the stage, and all after it.

    Args:
        view: The run with all its stages.
        from_stage_id: The stage.
        reason: Why, for people.
        config: The whole config to use from now on as JSON text; None keeps it.
        now: The present time.
    """
    group = _group_of(view, view.workflow.definition.number_by_id[from_stage_id])
    discarded = [stage for _, stage in sorted(view.stages.items()) if stage.group_number >= group]
    generation = max((stage.generation for stage in discarded), default=0) + 1
    timeout = view.workflow.definition.run_timeout
    yield events.RunRerun(
        from_stage_id, group, generation, reason, now + timeout if timeout else None, config
    )
    for stage in discarded:
        if stage.group_number > group:
            yield events.StageDiscarded(stage.number, stage.stage_id)
    yield from start_group(view.workflow, group, now, generation)


def _group_of(view: RunView, number: int) -> int:
    return dict(view.workflow.definition.groups_by_number())[number]


def _complete(view: RunView, number: int) -> bool:
    stage = view.stages.get(number)
    return stage is not None and stage.state is StageState.COMPLETED
