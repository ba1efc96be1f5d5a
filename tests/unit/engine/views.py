"""Runs in the middle of their lives, made through the appliers alone: no store, no kernel."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from stageline_engine import events
from stageline_engine.apply import Focus, apply
from stageline_engine.decide.create import AcceptedRun, decide_create
from stageline_engine.decide.lease import decide_start
from stageline_engine.decide.view import RunView
from stageline_engine.model.definition import RegisteredWorkflow, WorkflowDefinition
from stageline_engine.model.job import JobRow
from stageline_engine.model.run import RunRow
from stageline_engine.model.stage import StageRow
from stageline_engine.testing import SequentialIds, workflow
from stageline_engine.testing.clock import EPOCH

NOW = EPOCH
LATER = NOW + timedelta(seconds=3)
IDS = SequentialIds(seed=42)
RUN_ID, SESSION_ID, TOKEN, OTHER_TOKEN = IDS.new_id(), IDS.new_id(), IDS.new_token(), IDS.new_token()


def registered(definition: WorkflowDefinition | None = None) -> RegisteredWorkflow:
    """A stored version whose routes are 101, 102 and so on."""
    definition = definition or workflow("flow", "a", ["b", "c"], "d")
    routes = tuple(range(101, 101 + len(definition.stages)))
    return RegisteredWorkflow("default", 1, "digest", definition, NOW, routes)


class Life:
    """One run to which events happen."""

    def __init__(self, definition: WorkflowDefinition | None = None, *, priority: int = 5) -> None:
        """Accepts the run and starts its first group."""
        self.workflow = registered(definition)
        self.run: RunRow | None = None
        self.stages: dict[int, StageRow] = {}
        self.jobs: dict[int, JobRow] = {}
        accepted = AcceptedRun(self.workflow, "{}", "{}", priority)
        self.happen(decide_create(accepted, RUN_ID, NOW))

    def happen(self, happened: Iterable[events.Event]) -> "Life":
        """Applies events in order."""
        for event in list(happened):
            number = getattr(event, "number", 0)
            after = apply(self.focus(number), event, LATER if number else NOW)
            self.run = after.run
            self.stages.pop(number, None)
            if after.stage is not None:
                self.stages[number] = after.stage
            self.jobs.pop(number, None)
            if after.job is not None:
                self.jobs[number] = after.job
        return self

    def start(self, *numbers: int, token: UUID = TOKEN) -> "Life":
        """Leases jobs."""
        for number in numbers:
            self.happen([decide_start(self.view(), number, SESSION_ID, token, LATER)])
        return self

    def complete(self, *numbers: int) -> "Life":
        """Leases and completes stages; what follows for the run is left out."""
        for number in numbers:
            stage = self.start(number).stages[number]
            self.happen([events.StageCompleted(number, stage.stage_id, str(number))])
        return self

    def focus(self, number: int) -> Focus:
        """What an event of this stage would find."""
        return Focus(self.run, self.stages.get(number), self.jobs.get(number))

    def view(self) -> RunView:
        """What a decider would be given."""
        return RunView(self.focus(0).existing_run(), self.stages, self.jobs, self.workflow, {})


def kinds(happened: Iterable[events.Event]) -> Sequence[str]:
    """Names of events."""
    return [type(event).__name__ for event in happened]
