"""Each machine's table, walked over every state and every event: what is not in it raises and changes nothing."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from stageline_engine import events
from stageline_engine.apply import Focus, apply
from stageline_engine.errors import InvariantError
from stageline_engine.events import Annotation, StageError
from stageline_engine.limits import POLL_INTERVAL_DEFAULT
from stageline_engine.model.job import JOB_TRANSITIONS, JobKind, JobRow, JobState
from stageline_engine.model.run import RUN_TRANSITIONS, RunError, RunRow, RunState
from stageline_engine.model.stage import STAGE_TRANSITIONS, StageRow, StageState
from stageline_engine.model.transitions import follow
from tests.unit.engine.views import LATER, NOW, RUN_ID, SESSION_ID, TOKEN

RUN_EVENTS: list[events.Event] = [
    events.RunStarted(),
    events.RunAdvanced(2, ("b",)),
    events.RunCompleted({"b": "1"}),
    events.RunFailed(RunError("E", "m", "a")),
    events.RunCancelled("why"),
    events.RunRerun("b", 2, 2, "again", None, None),
]
STAGE_EVENTS: list[events.Event] = [
    events.StageStarted(1, "a", "A", JobKind.EXECUTE, 1, 1, TOKEN, SESSION_ID),
    events.StageProgressed(1, "a", 0.5, "half"),
    events.StageCompleted(1, "a", "1"),
    events.StageFailed(1, "a", StageError("E", "m")),
    events.StageRetryScheduled(1, "a", StageError("E", "m"), 1, timedelta(seconds=1), LATER),
    events.StageRequeued(1, "a", "lease_expired", counted=True),
    events.StageCancelled(1, "a"),
    events.StageSuspended(1, "a", "{}", LATER, timedelta(seconds=30), LATER),
    events.StageStillWaiting(1, "a", LATER, None),
    events.CheckStarted(1, "a", TOKEN, SESSION_ID),
    events.CheckRequested(1, "a"),
    events.JobRestored(1, "a", 7),
]
# Events that end a job: it is deleted, whatever its state.
JOB_ENDED_BY = {"StageCompleted", "StageFailed", "StageCancelled"}
# Events that are not the job's: one that only moves its deadline, and one that makes it anew.
NOT_THE_JOBS = {"StageProgressed", "JobRestored"}


def run_in(state: RunState) -> RunRow:
    """A run that agrees with itself in this state."""
    open_stages = 0 if state.terminal or state is RunState.PENDING else 1
    ended_at = NOW if state.terminal else None
    return RunRow(RUN_ID, "default", "flow", 1, state, 5, 1, open_stages, 0, 2, 1, NOW, NOW, ended_at)


def stage_in(state: StageState) -> StageRow:
    """A stage that agrees with itself in this state."""
    ended_at = NOW if state.terminal else None
    return StageRow(RUN_ID, 1, "a", 1, state, 1, 1, 1, 1, None, 1, NOW, NOW, ended_at)


def job_in(state: JobState, of: StageState = StageState.RUNNING) -> JobRow:
    """A job that agrees with itself in this state, of a stage in that one."""
    kind = JobKind.CHECK if of is StageState.SUSPENDED else JobKind.EXECUTE
    job = JobRow(RUN_ID, 1, 7, kind, state, 5, NOW, 1, 1, 1)
    if state is JobState.LEASED:
        return replace(job, lease_token=TOKEN, session_id=SESSION_ID)
    return job


def job_of(stage: StageRow, event: events.Event) -> JobRow | None:
    """The job that a stage in this state has, such that the event is none of the job's business to refuse."""
    if stage.state.terminal:
        return None
    usual = JobState.LEASED if stage.state is StageState.RUNNING else JobState.READY
    possible = [state for state in JobState if (state, name(event)) in JOB_TRANSITIONS]
    return job_in(possible[0] if possible and usual not in possible else usual, stage.state)


def name(value: Any) -> str:
    return type(value).__name__ if not isinstance(value, RunState | StageState | JobState) else value.value


@pytest.mark.parametrize("event", RUN_EVENTS, ids=name)
@pytest.mark.parametrize("state", RunState, ids=name)
def test_run_events(state: RunState, event: events.Event) -> None:
    run = run_in(state)
    if not isinstance(event, events.RunStarted | events.RunAdvanced) and state is RunState.RUNNING:
        run = replace(run, open_stages=0)
    following = RUN_TRANSITIONS.get((state, name(event)))
    if following is None:
        with pytest.raises(InvariantError, match=f"{name(event)} cannot happen to a RunState {state.value}"):
            apply(Focus(run), event, LATER)
        return
    after = apply(Focus(run), event, LATER).existing_run()
    assert after.state is following
    assert (after.ended_at == LATER) == following.terminal


@pytest.mark.parametrize("event", STAGE_EVENTS, ids=name)
@pytest.mark.parametrize("state", StageState, ids=name)
def test_stage_events(state: StageState, event: events.Event) -> None:
    stage = stage_in(state)
    before = Focus(run_in(RunState.RUNNING), stage, job_of(stage, event))
    following = STAGE_TRANSITIONS.get((state, name(event)))
    if following is None:
        with pytest.raises(InvariantError):
            apply(before, event, LATER)
        return
    after = apply(before, event, LATER).existing_stage()
    assert after.state is following
    assert (after.ended_at == LATER) == following.terminal


@pytest.mark.parametrize("event", STAGE_EVENTS, ids=name)
@pytest.mark.parametrize("state", JobState, ids=name)
def test_job_events(state: JobState, event: events.Event) -> None:
    if name(event) in JOB_ENDED_BY | NOT_THE_JOBS:
        return
    following = JOB_TRANSITIONS.get((state, name(event)))
    from_stages = [stage for stage, kind in STAGE_TRANSITIONS if kind == name(event)]
    assert from_stages
    for from_stage in from_stages:
        before = Focus(run_in(RunState.RUNNING), stage_in(from_stage), job_in(state, from_stage))
        if following is None:
            refusal = f"{name(event)} cannot happen to a JobState {state.value}"
            with pytest.raises(InvariantError, match=refusal):
                apply(before, event, LATER)
        else:
            assert apply(before, event, LATER).existing_job().state is following


@pytest.mark.parametrize("state", RunState, ids=name)
def test_a_remark_changes_no_run_in_any_state(state: RunState) -> None:
    before = Focus(run_in(state))
    assert apply(before, events.AnnotationAdded(Annotation("1", "k", "1")), LATER) == before


@pytest.mark.parametrize("state", StageState, ids=name)
def test_a_discarded_stage_ceases_to_exist_whatever_its_state(state: StageState) -> None:
    run, old = run_in(RunState.RUNNING), replace(stage_in(state), lease_epoch=6)
    after = apply(Focus(run, old), events.StageDiscarded(1, "a"), LATER)
    assert after == Focus(replace(run, lease_epoch_floor=6))
    again = apply(Focus(after.run, replace(old, lease_epoch=5)), events.StageDiscarded(2, "b"), LATER)
    assert again.existing_run().lease_epoch_floor == 6


def test_a_restored_job_is_a_check_where_the_stage_is_suspended() -> None:
    end = LATER + timedelta(hours=1)
    polled = events.RestoredWait(LATER, POLL_INTERVAL_DEFAULT, end)
    never_polled = replace(polled, check_at=end)
    for state, wait, expected in (
        (StageState.PENDING, None, (JobKind.EXECUTE, JobState.READY, LATER, None, None)),
        (StageState.RUNNING, None, (JobKind.EXECUTE, JobState.READY, LATER, None, None)),
        (StageState.SUSPENDED, polled, (JobKind.CHECK, JobState.READY, LATER, end, POLL_INTERVAL_DEFAULT)),
        (
            StageState.SUSPENDED,
            never_polled,
            (JobKind.CHECK, JobState.DELAYED, end, end, POLL_INTERVAL_DEFAULT),
        ),
    ):
        restored = events.JobRestored(1, "a", 9, wait)
        job = apply(Focus(run_in(RunState.RUNNING), stage_in(state)), restored, LATER).existing_job()
        assert (job.kind, job.state, job.available_at, job.deadline_at, job.poll_interval) == expected
        assert (job.route_id, job.lease_epoch) == (9, 1)


def test_a_new_generation_keeps_the_epoch_so_that_old_leases_stay_fenced() -> None:
    old = replace(stage_in(StageState.COMPLETED), lease_epoch=6)
    after = apply(
        Focus(run_in(RunState.RUNNING), old), events.StageScheduled(1, "a", 1, 7, generation=2), LATER
    )
    stage = after.existing_stage()
    assert (stage.state, stage.generation, stage.lease_epoch) == (StageState.PENDING, 2, 6)
    assert (stage.attempt, stage.delivery, stage.started_at, stage.recorded_token) == (0, 0, None, None)
    assert (after.existing_job().generation, after.existing_job().lease_epoch) == (2, 6)


@pytest.mark.parametrize("reported", [True, False])
@pytest.mark.parametrize("kind", ["completed", "failed", "retried"])
def test_only_what_its_worker_said_is_recognised_when_it_is_said_again(kind: str, reported: bool) -> None:
    error = StageError("E", "m")
    reports: dict[str, events.Event] = {
        "completed": events.StageCompleted(1, "a", "1", reported=reported),
        "failed": events.StageFailed(1, "a", error, reported),
        "retried": events.StageRetryScheduled(1, "a", error, 1, timedelta(), LATER, reported=reported),
    }
    before = Focus(run_in(RunState.RUNNING), stage_in(StageState.RUNNING), job_in(JobState.LEASED))
    after = apply(before, reports[kind], LATER).existing_stage()
    assert after.recorded_token == (TOKEN if reported else None)


@pytest.mark.parametrize("table", [RUN_TRANSITIONS, STAGE_TRANSITIONS, JOB_TRANSITIONS])
def test_follow_reads_the_table_and_nothing_else(table: Any) -> None:
    states = {type(state) for state, _ in table}
    kinds = {kind for _, kind in table} | {"Unheard"}
    [states_type] = states
    for state in states_type:
        for kind in kinds:
            if (state, kind) in table:
                assert follow(table, state, kind) is table[state, kind]
            else:
                with pytest.raises(InvariantError):
                    follow(table, state, kind)


def test_nothing_follows_on_a_cancelled_run() -> None:
    assert [event for state, event in RUN_TRANSITIONS if state is RunState.CANCELLED] == []


@pytest.mark.parametrize("missing", ["run", "stage", "job"])
def test_an_event_needs_what_it_tells_of(missing: str) -> None:
    before = Focus(run_in(RunState.RUNNING), stage_in(StageState.RUNNING), job_in(JobState.LEASED))
    with pytest.raises(InvariantError, match=f"needs a {missing} that does not exist"):
        apply(before._replace(**{missing: None}), events.StageCompleted(1, "a", "1"), LATER)
