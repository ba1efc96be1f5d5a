"""DESIGN section 10, I2 to I6, as checks of one run through the ports. Every check is an assert that can fail."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from stageline_engine.commands import JobOffer
from stageline_engine.decide.deadlines import RUN_TIMED_OUT
from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.model.job import JobKind, JobState
from stageline_engine.model.labels import labels_satisfy
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.ports import LoadedRun, RunDetails
from stageline_engine.records import EventRow
from stageline_engine.testing.simulation.story import told


def check_run(
    loaded: LoadedRun, details: RunDetails, events: Sequence[EventRow], workflow: RegisteredWorkflow
) -> None:
    """Checks everything that must hold of one run.

    Args:
        loaded: Its rows.
        details: What people see of it.
        events: All its events.
        workflow: The definition that it is pinned to.
    """
    assert details.run == loaded.run
    assert [entry.stage for entry in details.stages] == list(loaded.stages)
    check_groups(loaded, workflow)
    check_jobs(loaded)
    check_counters(loaded)
    check_events(details, events, workflow)
    check_results(details)


def check_labels(offer: JobOffer, workflow: RegisteredWorkflow, labels: Mapping[str, str] | None) -> None:
    """A stage is given only to workers with the labels that it requires; who runs it in process has none, and is not asked."""
    stage = workflow.definition.stages[workflow.definition.number_by_id[offer.stage_id] - 1]
    assert labels is None or labels_satisfy(labels, stage.required_labels)


def check_groups(loaded: LoadedRun, workflow: RegisteredWorkflow) -> None:
    """I3: a stage exists only when the whole group before it is complete; group by group, in full."""
    definition, states = workflow.definition, {stage.number: stage.state for stage in loaded.stages}
    expected = [
        number
        for group in range(1, loaded.run.current_group + 1)
        for number in definition.numbers_of_group(group)
    ]
    assert list(states) == expected
    before = [
        number for number in expected if number < definition.first_numbers[loaded.run.current_group - 1]
    ]
    assert {states[number] for number in before} <= {StageState.COMPLETED}


def check_jobs(loaded: LoadedRun) -> None:
    """I4: a stage that has not ended has one job, which says the same of it; a terminal run has neither."""
    jobs = {job.stage_number: job for job in loaded.jobs}
    open_stages = {stage.number: stage for stage in loaded.stages if not stage.state.terminal}
    assert jobs.keys() == open_stages.keys()
    for number, stage in open_stages.items():
        if jobs[number].kind is JobKind.CHECK:
            assert stage.state is StageState.SUSPENDED
        else:
            leased = jobs[number].state is JobState.LEASED
            assert stage.state is (StageState.RUNNING if leased else StageState.PENDING)
        assert jobs[number].lease_epoch == stage.lease_epoch
        assert jobs[number].generation == stage.generation
    if loaded.run.state.terminal:
        assert not open_stages


def check_counters(loaded: LoadedRun) -> None:
    """The run's counters are those of its current group."""
    group = [stage for stage in loaded.stages if stage.group_number == loaded.run.current_group]
    assert loaded.run.open_stages == sum(not stage.state.terminal for stage in group)
    assert loaded.run.failed_stages == sum(stage.state is StageState.FAILED for stage in group)
    late = loaded.run.error is not None and loaded.run.error.code == RUN_TIMED_OUT
    assert (loaded.run.error is not None) == (loaded.run.failed_stages > 0 or late)


def check_events(details: RunDetails, events: Sequence[EventRow], workflow: RegisteredWorkflow) -> None:
    """I5: sequences have no gap and no duplicate, and say the same story as the rows. I2: one completion a stage."""
    assert [event.sequence for event in events] == list(range(1, details.run.event_sequence + 1))
    assert [event.occurred_at for event in events] == sorted(event.occurred_at for event in events)
    definition = workflow.definition
    groups = {definition.stages[number - 1].id: group for number, group in definition.groups_by_number()}
    story = told(events, groups)
    assert story.state == details.run.state
    assert story.group == details.run.current_group
    states = {entry.stage.stage_id: entry.stage.state.value for entry in details.stages}
    assert {stage_id: story.stages.get(stage_id, "PENDING") for stage_id in states} == states
    assert story.ends == details.run.state.terminal
    if details.run.state.terminal:
        happened = [event for event in events if event.type != "annotation:created"]
        assert happened[-1].type == f"workflow:{details.run.state.value.lower()}"
    completed = [stage_id for stage_id, state in states.items() if state == StageState.COMPLETED]
    assert Counter(story.completions) == Counter(completed)


def check_results(details: RunDetails) -> None:
    """I2: completed stages have an output, failed ones an error, and no other stage has an output."""
    for entry in details.stages:
        output = entry.result.output if entry.result else None
        assert (output is not None) == (entry.stage.state is StageState.COMPLETED)
        if entry.stage.state is StageState.FAILED:
            assert entry.result is not None
            assert entry.result.error is not None
    if details.run.state is RunState.COMPLETED:
        assert {entry.stage.state for entry in details.stages} == {StageState.COMPLETED}


class Published:
    """What a sink took comes in order per run without a gap; an event may come again, never a later one before."""

    def __init__(self) -> None:
        """Nothing has been taken yet."""
        self.last: dict[UUID, int] = {}
        self._seen = 0

    def check(self, taken: Sequence[EventRow], skipped: Collection[tuple[UUID, int]]) -> None:
        """Checks what was taken since the last time.

        Args:
            taken: Everything that the sink has ever taken.
            skipped: Run and sequence of events that were passed over on purpose.
        """
        for event in taken[self._seen :]:
            last = self.last.get(event.run_id, 0)
            while (event.run_id, last + 1) in skipped and event.sequence > last:
                last += 1
            assert event.sequence <= last + 1, (event, last)
            self.last[event.run_id] = max(last, event.sequence)
        self._seen = len(taken)
