"""What a batch leaves to be told: leases that ended unasked, and the next time at which something is due."""

from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from stageline_engine import events
from stageline_engine.commands import LeaseReference, Suspended
from stageline_engine.decide.cancel import decide_cancel
from stageline_engine.decide.create import AcceptedRun, decide_create
from stageline_engine.decide.suspend import decide_suspend
from stageline_engine.testing import stage, workflow
from stageline_engine.testing.play import batch_stage, timed_stage
from stageline_engine.workspace import RunRecords, Workspace
from tests.unit.engine.views import LATER, NOW, OTHER_TOKEN, RUN_ID, SESSION_ID, TOKEN, Life, registered

MINUTE = timedelta(minutes=1)
ERROR = events.StageError("E", "m")


def space_of(life: Life) -> Workspace:
    """A batch that has read this run."""
    space = Workspace(LATER, RUN_ID)
    space.add(RUN_ID, RunRecords(life.run, life.workflow, life.stages.values(), life.jobs.values()))
    return space


def after(life: Life, *happened: events.Event) -> Workspace:
    """A batch in which this happened to the run."""
    space = space_of(life)
    space.apply_all(RUN_ID, happened)
    return space


def lease(number: int, token: UUID = TOKEN) -> LeaseReference:
    return LeaseReference(SESSION_ID, token, RUN_ID, number)


def test_nothing_stops_while_nothing_happens() -> None:
    life = Life(workflow("flow", ["a", "b"])).start(1)
    assert list(space_of(life).stopped()) == []
    assert list(after(life, events.StageProgressed(1, "a", 0.5, "")).stopped()) == []


def test_a_cancellation_stops_every_lease_and_no_job_that_only_waited() -> None:
    life = Life(workflow("flow", ["a", "b", "c"])).start(1).start(3, token=OTHER_TOKEN)
    space = after(life, *decide_cancel(life.view(), ""))
    assert list(space.stopped()) == [lease(1), lease(3, OTHER_TOKEN)]


def test_a_lease_that_is_handed_on_in_the_same_batch_stops() -> None:
    life = Life(workflow("flow", "a")).start(1)
    space = after(life, events.StageRequeued(1, "a", "lease_expired", counted=True))
    other = events.StageStarted(1, "a", "A", life.jobs[1].kind, 1, 2, OTHER_TOKEN, SESSION_ID)
    space.apply_all(RUN_ID, [other])
    assert list(space.stopped()) == [lease(1)]


def test_a_worker_that_spoke_need_not_be_told() -> None:
    life = Life(workflow("flow", ["a", "b"])).start(1).start(2, token=OTHER_TOKEN)
    space = space_of(life)
    space.reported(TOKEN)
    space.apply_all(RUN_ID, [events.StageFailed(1, "a", ERROR), events.StageFailed(2, "b", ERROR)])
    assert list(space.stopped()) == [lease(2, OTHER_TOKEN)]


def test_a_batch_that_sets_no_time_wakes_nobody() -> None:
    life = Life(workflow("flow", "a"))
    assert space_of(life).wake_at() is None
    started = events.StageStarted(1, "a", "A", life.jobs[1].kind, 1, 1, TOKEN, SESSION_ID)
    assert after(life, started).wake_at() is None


def test_times_that_were_set_before_wake_nobody_again() -> None:
    life = Life(workflow("flow", timed_stage("a", schedule_to_start=MINUTE), run_timeout=MINUTE))
    assert space_of(life).wake_at() is None


def test_a_retry_is_due_at_its_time() -> None:
    life = Life(workflow("flow", "a")).start(1)
    due = LATER + MINUTE
    assert after(life, events.StageRetryScheduled(1, "a", ERROR, 1, MINUTE, due)).wake_at() == due


def test_the_earliest_of_job_and_deadline_counts() -> None:
    life = Life(workflow("flow", batch_stage("a"))).start(1)
    polled = decide_suspend(life.stages[1], Suspended(poll_interval=MINUTE), LATER)
    assert after(life, polled).wake_at() == LATER + MINUTE
    cut = replace(polled, check_at=LATER + 3 * MINUTE, wait_until=LATER + 2 * MINUTE)
    assert after(life, cut).wake_at() == LATER + 2 * MINUTE


def test_a_new_run_wakes_at_its_start_or_at_its_first_deadline() -> None:
    assert born(start_at=LATER + MINUTE) == LATER + MINUTE
    assert born(run_timeout=MINUTE) == LATER + MINUTE
    assert born(run_timeout=2 * MINUTE, schedule_to_start=MINUTE) == LATER + MINUTE
    assert born() is None


def born(
    *,
    start_at: datetime | None = None,
    run_timeout: timedelta | None = None,
    schedule_to_start: timedelta | None = None,
) -> datetime | None:
    """When a batch that creates a run of this kind wakes."""
    first = timed_stage("a", schedule_to_start=schedule_to_start) if schedule_to_start else stage("a")
    flow = registered(workflow("flow", first, run_timeout=run_timeout))
    space = Workspace(LATER, RUN_ID)
    space.add(RUN_ID, RunRecords(None, flow))
    accepted = AcceptedRun(flow, "{}", "{}", 5, start_at=start_at)
    space.apply_all(RUN_ID, decide_create(accepted, RUN_ID, LATER))
    return space.wake_at()


def test_a_run_that_ended_in_the_batch_wakes_nobody() -> None:
    life = Life(workflow("flow", "a", run_timeout=MINUTE))
    assert after(life, *decide_cancel(life.view(), "")).wake_at() is None
    assert life.view().run.deadline_at == NOW + MINUTE


def test_discarded_stages_are_deleted_and_those_that_run_again_are_updated() -> None:
    life = Life(workflow("flow", ["a", "b"])).complete(1)
    space = after(life, events.StageDiscarded(1, "a"))
    changes = space.changes()
    assert ([row.number for row in changes.stages_deleted], changes.stages_updated) == ([1], [])


def test_what_is_suspended_is_kept_with_its_state_and_its_tokens() -> None:
    life = Life(workflow("flow", batch_stage("a"))).start(1)
    condition = events.ResumeCondition(b"x" * 32, "approval", LATER + MINUTE)
    suspended = events.StageSuspended(1, "a", '{"n":1}', LATER, MINUTE, LATER + MINUTE, (condition,))
    changes = after(life, suspended).changes()
    [state], [token] = changes.suspended_states, changes.resume_tokens
    assert (state.run_id, state.stage_number, state.generation, state.state) == (RUN_ID, 1, 1, '{"n":1}')
    assert (token.token_sha256, token.label, token.expires_at) == (b"x" * 32, "approval", LATER + MINUTE)
    assert (token.run_id, token.stage_number, token.generation, token.used_fingerprint) == (
        RUN_ID,
        1,
        1,
        None,
    )
