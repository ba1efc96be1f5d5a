"""What a suspended stage is given: when it is checked, how long it may wait, what else may end it."""

from datetime import timedelta

import pytest

from stageline_engine import events, payloads
from stageline_engine.commands import Failed, Outcome, StillWaiting, SuspendCondition, Suspended
from stageline_engine.decide.report import check_outcome
from stageline_engine.decide.suspend import decide_still_waiting, decide_suspend
from stageline_engine.limits import (
    PAYLOAD_INLINE_BYTES_MAX,
    POLL_INTERVAL_DEFAULT,
    POLL_INTERVAL_MIN,
    RESUME_CONDITIONS_MAX,
    WAIT_DEFAULT,
    WAIT_MAX,
)
from stageline_engine.model.stage import StageState
from stageline_engine.testing import stage, workflow
from stageline_engine.testing.play import batch_stage
from tests.unit.engine.views import LATER, OTHER_TOKEN, SESSION_ID, Life

TICK = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)


def started() -> Life:
    """A run whose only stage may suspend and is leased."""
    return Life(workflow("flow", batch_stage("a"))).start(1)


def suspended(outcome: Suspended) -> events.StageSuspended:
    return decide_suspend(started().stages[1], outcome, LATER)


def checking(outcome: Suspended) -> Life:
    """A run whose only stage is suspended, with its first check leased."""
    life = started()
    life.happen([decide_suspend(life.stages[1], outcome, LATER), events.CheckRequested(1, "a")])
    return life.happen([events.CheckStarted(1, "a", OTHER_TOKEN, SESSION_ID)])


def checked(life: Life, outcome: Outcome) -> tuple[Outcome, str]:
    return check_outcome(life.view(), 1, outcome, payloads.check_output, payloads.check_state)


def test_unset_times_take_their_defaults() -> None:
    assert suspended(Suspended()) == events.StageSuspended(
        1, "a", "{}", LATER + POLL_INTERVAL_DEFAULT, POLL_INTERVAL_DEFAULT, LATER + WAIT_DEFAULT
    )


@pytest.mark.parametrize(
    ("wished", "got"),
    [
        (POLL_INTERVAL_MIN - TICK, POLL_INTERVAL_MIN),
        (POLL_INTERVAL_MIN, POLL_INTERVAL_MIN),
        (POLL_INTERVAL_MIN + TICK, POLL_INTERVAL_MIN + TICK),
        (-MINUTE, POLL_INTERVAL_MIN),
    ],
)
def test_checks_keep_the_shortest_interval(wished: timedelta, got: timedelta) -> None:
    event = suspended(Suspended(poll_interval=wished))
    assert (event.poll_interval, event.check_at) == (got, LATER + got)


@pytest.mark.parametrize(
    ("wished", "got"), [(WAIT_MAX - TICK, WAIT_MAX - TICK), (WAIT_MAX, WAIT_MAX), (WAIT_MAX + TICK, WAIT_MAX)]
)
def test_no_wait_is_longer_than_its_limit(wished: timedelta, got: timedelta) -> None:
    assert suspended(Suspended(wait_max=wished)).wait_until == LATER + got


@pytest.mark.parametrize(
    ("delay", "due"),
    [(timedelta(), timedelta()), (-MINUTE, timedelta()), (MINUTE, MINUTE), (3 * MINUTE, 2 * MINUTE)],
)
def test_the_first_check_comes_when_asked_but_never_after_the_end_of_the_wait(
    delay: timedelta, due: timedelta
) -> None:
    event = suspended(Suspended(first_check_delay=delay, wait_max=2 * MINUTE))
    assert event.check_at == LATER + due


def test_an_interval_longer_than_the_wait_is_cut_to_it() -> None:
    event = suspended(Suspended(poll_interval=3 * MINUTE, wait_max=MINUTE))
    assert (event.check_at, event.poll_interval) == (LATER + MINUTE, 3 * MINUTE)


def test_a_stage_that_is_never_polled_is_due_at_the_end_of_its_wait() -> None:
    event = suspended(Suspended(never_poll=True, first_check_delay=timedelta(), wait_max=MINUTE))
    assert event.check_at == event.wait_until == LATER + MINUTE


def test_conditions_are_kept_with_the_time_at_which_they_expire() -> None:
    conditions = (SuspendCondition(b"x" * 32, "approval", MINUTE), SuspendCondition(b"y" * 32))
    assert suspended(Suspended(conditions=conditions)).conditions == (
        events.ResumeCondition(b"x" * 32, "approval", LATER + MINUTE),
        events.ResumeCondition(b"y" * 32, "", None),
    )


def test_a_suspension_frees_the_worker_and_keeps_the_attempt() -> None:
    life = started()
    life.happen([decide_suspend(life.stages[1], Suspended(), LATER)])
    stage_row, job = life.stages[1], life.jobs[1]
    assert (stage_row.state, stage_row.attempt, stage_row.delivery) == (StageState.SUSPENDED, 1, 0)
    assert (job.lease_token, job.session_id, job.deadline_at) == (None, None, LATER + WAIT_DEFAULT)


def test_a_check_that_found_nothing_says_when_it_comes_again_or_keeps_the_interval() -> None:
    life = checking(Suspended(poll_interval=MINUTE))
    view, row = life.view(), life.stages[1]
    assert decide_still_waiting(view, row, StillWaiting(), LATER).check_at == LATER + MINUTE
    hour = decide_still_waiting(view, row, StillWaiting(timedelta(hours=1)), LATER)
    assert hour.check_at == LATER + timedelta(hours=1)
    hasty = decide_still_waiting(view, row, StillWaiting(POLL_INTERVAL_MIN - TICK), LATER)
    assert hasty.check_at == LATER + POLL_INTERVAL_MIN
    late = decide_still_waiting(view, row, StillWaiting(timedelta(days=9)), LATER)
    assert late.check_at == LATER + WAIT_DEFAULT


def test_a_check_replaces_the_state_only_where_it_gives_one() -> None:
    life = checking(Suspended())
    assert decide_still_waiting(life.view(), life.stages[1], StillWaiting(), LATER).state is None
    told = decide_still_waiting(life.view(), life.stages[1], StillWaiting(state=b'{"seen":1}'), LATER)
    assert told.state == '{"seen":1}'


def test_only_the_run_of_a_batch_stage_may_suspend() -> None:
    assert checked(started(), Suspended()) == (Suspended(), "")
    sync = Life(workflow("flow", stage("a"))).start(1)
    for life in (sync, checking(Suspended())):
        outcome, note = checked(life, Suspended())
        assert isinstance(outcome, Failed)
        assert (outcome.retryable, outcome.error.message) == (False, note)
        assert "only the run of a stage of mode ASYNC_BATCH may" in note


def test_only_a_check_may_be_still_waiting() -> None:
    assert checked(checking(Suspended()), StillWaiting()) == (StillWaiting(), "")
    outcome, note = checked(started(), StillWaiting())
    assert isinstance(outcome, Failed)
    assert "was run, not checked" in note


@pytest.mark.parametrize("state", [b"\xff", b"{", b'"\\u0000"'])
def test_a_state_that_cannot_be_kept_is_a_final_failure(state: bytes) -> None:
    for life, said in ((started(), Suspended(state)), (checking(Suspended()), StillWaiting(state=state))):
        outcome, note = checked(life, said)
        assert isinstance(outcome, Failed)
        assert "state" in note


def test_the_size_of_a_state_is_limited() -> None:
    fits = b'"' + b"x" * (PAYLOAD_INLINE_BYTES_MAX - 2) + b'"'
    assert checked(started(), Suspended(fits)) == (Suspended(fits), "")
    outcome, note = checked(started(), Suspended(b" " + fits))
    assert isinstance(outcome, Failed)
    assert str(PAYLOAD_INLINE_BYTES_MAX) in note


def test_the_number_of_conditions_is_limited_and_each_has_a_token_of_its_own() -> None:
    most = tuple(SuspendCondition(bytes([number]) * 32) for number in range(RESUME_CONDITIONS_MAX))
    assert checked(started(), Suspended(conditions=most))[1] == ""
    too_many = (*most, SuspendCondition(b"\xff" * 32))
    outcome, note = checked(started(), Suspended(conditions=too_many))
    assert isinstance(outcome, Failed)
    assert note == f"The wait has {RESUME_CONDITIONS_MAX + 1} conditions, limit {RESUME_CONDITIONS_MAX}."
    assert "same resume token" in checked(started(), Suspended(conditions=(most[0], most[0])))[1]
    null = SuspendCondition(b"x" * 32, "a\0b")
    assert "U+0000" in checked(started(), Suspended(conditions=(null,)))[1]
