"""What follows when stages of a group end: nothing yet, the next group, or the end of the run.

There is no fail-fast: a group whose stage failed waits for its other stages, so that no work in progress is thrown
away and a terminal run never has a stage that still runs.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from stageline_engine import events
from stageline_engine.decide.timeouts import start_deadline
from stageline_engine.decide.view import RunView
from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.model.run import RunError
from stageline_engine.model.stage import StageRow


def start_group(
    workflow: RegisteredWorkflow, group: int, now: datetime, generation: int = 1
) -> Iterator[events.Event]:
    """Yields the events that make a group ready.

    Args:
        workflow: The run's version.
        group: 1-based group.
        now: The present time: time-outs count from it.
        generation: Generation of the stage executions that begin to exist.
    """
    definition = workflow.definition
    numbers = definition.numbers_of_group(group)
    yield events.RunAdvanced(group, tuple(definition.stages[number - 1].id for number in numbers))
    for number in numbers:
        stage = definition.stages[number - 1]
        deadline_at = start_deadline(stage, now)
        yield events.StageScheduled(
            number, stage.id, group, workflow.route_ids[number - 1], generation, deadline_at
        )


def close_stage(
    view: RunView, stage: StageRow, now: datetime, *, error: RunError | None = None, output: str = ""
) -> Iterator[events.Event]:
    """Yields what follows when one open stage of the current group ends.

    Args:
        view: The run before the stage's own event.
        stage: The stage that ends; the next group inherits its generation.
        now: The present time.
        error: The stage's failure; None where it completed.
        output: JSON text that it completed with.
    """
    run = view.run
    if run.open_stages > 1:
        return
    failure = run.error or error
    if failure is not None:
        yield events.RunFailed(failure)
    elif run.current_group < len(view.workflow.definition.groups):
        yield from start_group(view.workflow, run.current_group + 1, now, stage.generation)
    else:
        yield events.RunCompleted(_outputs(view, {stage.number: output}))


def settle_group(view: RunView, now: datetime) -> Iterator[events.Event]:
    """Yields what should have followed when the last open stage of the group ended; nothing while one is open."""
    stages = [stage for stage in view.stages.values() if stage.group_number == view.run.current_group]
    if not stages or any(not stage.state.terminal for stage in stages):
        return
    if view.run.error is not None:
        yield events.RunFailed(view.run.error)
    elif view.run.current_group < len(view.workflow.definition.groups):
        generation = max(stage.generation for stage in stages)
        yield from start_group(view.workflow, view.run.current_group + 1, now, generation)
    else:
        yield events.RunCompleted(_outputs(view, {}))


def _outputs(view: RunView, last: Mapping[int, str]) -> dict[str, str] | None:
    """The last group's outputs by stage id, or None where some were left out for their size."""
    definition = view.workflow.definition
    known = {**view.group_outputs, **last}
    numbers = definition.numbers_of_group(view.run.current_group)
    if any(number not in known for number in numbers):
        return None
    return {definition.stages[number - 1].id: known[number] for number in numbers}
