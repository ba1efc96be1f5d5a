"""The five limits of time: when each is set, when it has passed, and what follows; healthy work is left alone."""

from datetime import datetime, timedelta

import pytest

from stageline_engine import events
from stageline_engine.commands import ReportProgress, Suspended
from stageline_engine.decide.deadlines import (
    HEARTBEAT_TIMED_OUT,
    NOT_STARTED_IN_TIME,
    RUN_TIMED_OUT,
    TIMED_OUT,
    WAIT_EXPIRED,
    decide_deadline,
    decide_run_deadline,
)
from stageline_engine.decide.report import decide_progress, judge
from stageline_engine.decide.suspend import decide_suspend
from stageline_engine.decide.timeouts import report_deadline, start_deadline
from stageline_engine.model.definition import RetryPolicy, StageTimeouts
from stageline_engine.model.run import RunError
from stageline_engine.testing import stage, workflow
from stageline_engine.testing.play import batch_stage, timed_stage
from tests.unit.engine.views import LATER, NOW, RUN_ID, TOKEN, Life, kinds

MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)
ONCE = RetryPolicy(max_attempts=1)
ALL = StageTimeouts(MINUTE, 3 * MINUTE, 2 * MINUTE)


def due(life: Life, now: datetime, number: int = 1) -> list[events.Event]:
    return list(decide_deadline(life.view(), number, now, 0.5))


def error_of(happened: list[events.Event]) -> events.StageError:
    event = happened[0]
    assert isinstance(event, events.StageFailed | events.StageRetryScheduled)
    assert not event.reported
    return event.error


def test_a_stage_without_timeouts_has_no_deadline() -> None:
    assert start_deadline(stage("a"), NOW) is None
    assert report_deadline(stage("a"), NOW, NOW) is None


@pytest.mark.parametrize(
    ("timeouts", "alive_after", "due_after"),
    [
        (StageTimeouts(start_to_close=3 * MINUTE), MINUTE, 3 * MINUTE),
        (StageTimeouts(heartbeat=2 * MINUTE), timedelta(), 2 * MINUTE),
        (StageTimeouts(heartbeat=2 * MINUTE), MINUTE, 3 * MINUTE),
        (ALL, timedelta(), 2 * MINUTE),
        (ALL, MINUTE + TICK, 3 * MINUTE),
    ],
)
def test_the_earlier_of_report_and_heartbeat_counts(
    timeouts: StageTimeouts, alive_after: timedelta, due_after: timedelta
) -> None:
    definition = stage("a", timeouts=timeouts)
    assert report_deadline(definition, NOW, NOW + alive_after) == NOW + due_after


def test_a_job_that_becomes_ready_must_be_leased_in_time() -> None:
    assert start_deadline(stage("a", timeouts=ALL), NOW) == NOW + MINUTE


def test_nothing_happens_before_the_moment_and_all_of_it_at_the_moment() -> None:
    life = Life(workflow("flow", timed_stage("a", schedule_to_start=MINUTE)))
    deadline = life.jobs[1].deadline_at
    assert deadline == NOW + MINUTE
    assert due(life, deadline - TICK) == []
    happened = due(life, deadline)
    assert kinds(happened) == ["StageFailed", "RunFailed"]
    assert error_of(happened).type == NOT_STARTED_IN_TIME


def test_a_job_that_is_gone_or_has_no_deadline_is_left_alone() -> None:
    life = Life(workflow("flow", "a"))
    assert due(life, LATER + timedelta(days=999)) == []
    life.complete(1)
    assert due(life, LATER) == []
    assert due(life, LATER, number=7) == []


def test_a_lease_ends_the_wait_for_a_worker_and_begins_the_next_limit() -> None:
    life = Life(workflow("flow", stage("a", timeouts=ALL))).start(1)
    assert life.jobs[1].deadline_at == LATER + 2 * MINUTE
    only_start = Life(workflow("flow", timed_stage("a", schedule_to_start=MINUTE))).start(1)
    assert only_start.jobs[1].deadline_at is None


def test_a_report_that_is_late_is_tried_again_by_the_policy() -> None:
    retry = RetryPolicy(max_attempts=2, initial_backoff=MINUTE, jitter=0.0)
    late = stage("a", timeouts=StageTimeouts(start_to_close=MINUTE), retry=retry)
    life = Life(workflow("flow", late)).start(1)
    happened = due(life, LATER + MINUTE)
    error = error_of(happened)
    assert happened == [
        events.StageRetryScheduled(1, "a", error, 1, MINUTE, LATER + 2 * MINUTE, reported=False)
    ]
    assert error.type == TIMED_OUT


def test_silence_is_told_from_lateness() -> None:
    life = Life(workflow("flow", stage("a", timeouts=ALL, retry=ONCE))).start(1)
    assert error_of(due(life, LATER + 2 * MINUTE)).type == HEARTBEAT_TIMED_OUT
    alive = ReportProgress("default", RUN_ID, 1, TOKEN, 0.5)
    life.happen([decide_progress(life.view(), alive, LATER + MINUTE + TICK)])
    assert life.jobs[1].deadline_at == LATER + 3 * MINUTE
    assert due(life, LATER + 2 * MINUTE) == []
    assert error_of(due(life, LATER + 3 * MINUTE)).type == TIMED_OUT


def test_a_sign_of_life_moves_nothing_where_there_is_no_heartbeat() -> None:
    life = Life(workflow("flow", timed_stage("a", start_to_close=MINUTE))).start(1)
    alive = decide_progress(life.view(), ReportProgress("default", RUN_ID, 1, TOKEN, None), LATER)
    assert alive.deadline_at is None
    life.happen([alive])
    assert life.jobs[1].deadline_at == LATER + MINUTE


def test_what_the_server_gave_up_is_not_taken_for_what_the_worker_said() -> None:
    life = Life(workflow("flow", timed_stage("a", start_to_close=MINUTE))).start(1)
    life.happen(due(life, LATER + MINUTE))
    assert judge(life.view(), "default", 1, TOKEN).name == "SUPERSEDED"


def test_a_wait_that_has_lasted_too_long_fails_the_stage_for_good() -> None:
    life = Life(workflow("flow", batch_stage("a", retry=RetryPolicy(max_attempts=9)))).start(1)
    life.happen([decide_suspend(life.stages[1], Suspended(wait_max=MINUTE), LATER)])
    assert due(life, LATER + MINUTE - TICK) == []
    happened = due(life, LATER + MINUTE)
    assert kinds(happened) == ["StageFailed", "RunFailed"]
    assert error_of(happened).type == WAIT_EXPIRED


def test_a_check_that_is_being_made_does_not_outlive_the_wait() -> None:
    life = Life(workflow("flow", batch_stage("a"))).start(1)
    life.happen([decide_suspend(life.stages[1], Suspended(wait_max=MINUTE), LATER)])
    life.happen([events.CheckRequested(1, "a")]).start(1)
    assert error_of(due(life, LATER + MINUTE)).type == WAIT_EXPIRED


def test_a_run_whose_time_is_over_ends_with_its_open_stages() -> None:
    life = Life(workflow("flow", ["a", "b"], run_timeout=MINUTE)).complete(1)
    deadline = life.view().run.deadline_at
    assert deadline == NOW + MINUTE
    assert list(decide_run_deadline(life.view(), deadline - TICK)) == []
    happened = list(decide_run_deadline(life.view(), deadline))
    assert happened[0] == events.StageCancelled(2, "b")
    assert isinstance(happened[1], events.RunFailed)
    assert (happened[1].error.code, happened[1].error.stage_id) == (RUN_TIMED_OUT, "")
    life.happen(happened)
    assert (life.view().run.open_stages, life.jobs) == (0, {})


def test_a_run_that_has_ended_or_has_no_limit_is_left_alone() -> None:
    endless = Life(workflow("flow", "a"))
    assert list(decide_run_deadline(endless.view(), NOW + timedelta(days=999))) == []
    ended = Life(workflow("flow", "a", run_timeout=MINUTE)).start(1)
    failed = events.StageFailed(1, "a", events.StageError("E", "m"))
    ended.happen([failed, events.RunFailed(RunError("E", "m", "a"))])
    assert list(decide_run_deadline(ended.view(), NOW + 2 * MINUTE)) == []
