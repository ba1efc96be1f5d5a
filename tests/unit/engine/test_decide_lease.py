"""Which session gets which job."""

from uuid import UUID

from msgspec.structs import replace

from stageline_engine import events
from stageline_engine.commands import LeaseDemand
from stageline_engine.decide.lease import Urgency, assign, decide_start, urgency
from stageline_engine.model.job import JobKind, JobRow, JobState
from stageline_engine.testing import workflow
from tests.unit.engine.views import IDS, LATER, NOW, SESSION_ID, TOKEN, Life

OLD, NEW = sorted([IDS.new_id(), IDS.new_id()])
ONE, TWO = IDS.new_id(), IDS.new_id()


def job(run_id: UUID = OLD, number: int = 1, *, route_id: int = 1, priority: int = 5) -> JobRow:
    """A ready job."""
    return JobRow(run_id, number, route_id, JobKind.EXECUTE, JobState.READY, priority, NOW, 1, 0, 1)


def test_the_total_order_is_priority_then_age_then_stage() -> None:
    first, second, third, fourth = job(NEW, priority=9), job(OLD, 1), job(OLD, 2), job(NEW, 1)
    last = job(OLD, priority=0)
    shuffled = [last, third, fourth, first, second]
    assert sorted(shuffled, key=urgency) == [first, second, third, fourth, last]


def test_the_most_urgent_jobs_are_assigned_when_slots_are_short() -> None:
    jobs = [job(OLD), job(NEW), job(NEW, 2, priority=9)]
    assert assign(jobs, [LeaseDemand(ONE, (1,), 2)]) == [(jobs[2], ONE), (jobs[0], ONE)]


def test_a_session_gets_only_what_it_can_run_and_never_more_than_its_slots() -> None:
    jobs = [job(OLD, number, route_id=number) for number in (1, 2, 3)]
    assert assign(jobs, [LeaseDemand(ONE, (2,), 5)]) == [(jobs[1], ONE)]
    assert assign(jobs, [LeaseDemand(ONE, (1, 2, 3), 0)]) == []
    assert assign(jobs, []) == []
    assert assign([], [LeaseDemand(ONE, (1,), 5)]) == []


def test_jobs_are_spread_over_the_sessions_with_the_most_free_slots() -> None:
    jobs = [job(OLD, number) for number in range(1, 6)]
    takers = [taker for _, taker in assign(jobs, [LeaseDemand(ONE, (1,), 2), LeaseDemand(TWO, (1,), 4)])]
    assert takers.count(ONE) == 2
    assert takers.count(TWO) == 3
    assert takers[0] == TWO


def test_a_job_is_left_for_the_queue_when_a_more_urgent_one_waits() -> None:
    mine = job(NEW)
    demand = LeaseDemand(ONE, (1, 2), 5)
    ahead, behind = Urgency(-5, OLD, 1), Urgency(0, NEW, 1)
    assert assign([mine], [demand], {2: ahead}) == []
    assert assign([mine], [demand], {1: behind}) == [(mine, ONE)]
    assert assign([mine], [demand], {3: ahead}) == [(mine, ONE)]
    assert assign([mine], [demand, LeaseDemand(TWO, (1,), 1)], {2: ahead}) == [(mine, TWO)]


def test_the_first_start_is_attempt_and_delivery_one() -> None:
    started = decide_start(Life(workflow("flow", "a")).view(), 1, SESSION_ID, TOKEN, NOW)
    assert started == events.StageStarted(1, "a", "A", JobKind.EXECUTE, 1, 1, TOKEN, SESSION_ID)


def test_a_lost_lease_costs_a_delivery_and_a_returned_one_nothing() -> None:
    life = Life(workflow("flow", "a")).start(1)
    lost = requeued(life, counted=True)
    assert _counters(decide_start(lost.view(), 1, SESSION_ID, TOKEN, NOW)) == (1, 2)
    returned = requeued(lost.start(1), counted=False)
    assert _counters(decide_start(returned.view(), 1, SESSION_ID, TOKEN, NOW)) == (1, 2)


def test_a_failed_try_is_followed_by_the_next_attempt_with_a_fresh_count() -> None:
    life = requeued(Life(workflow("flow", "a")).start(1), counted=True).start(1)
    error = events.StageError("E", "m")
    life.happen([events.StageRetryScheduled(1, "a", error, 1, LATER - NOW, LATER)])
    life.jobs[1] = replace(life.jobs[1], state=JobState.READY)
    assert _counters(decide_start(life.view(), 1, SESSION_ID, TOKEN, NOW)) == (2, 1)


def test_every_lease_has_an_epoch_of_its_own() -> None:
    life, epochs = Life(workflow("flow", "a")), []
    for _ in range(3):
        epochs.append(life.start(1).stages[1].lease_epoch)
        assert life.jobs[1].lease_epoch == epochs[-1]
        requeued(life, counted=False)
    assert epochs == [1, 2, 3]


def requeued(life: Life, *, counted: bool) -> Life:
    """The lease of stage 1 ends without an outcome."""
    return life.happen([events.StageRequeued(1, "a", "lease_expired", counted)])


def _counters(started: events.StageStarted | events.CheckStarted) -> tuple[int, int]:
    assert isinstance(started, events.StageStarted)
    return started.attempt, started.delivery
