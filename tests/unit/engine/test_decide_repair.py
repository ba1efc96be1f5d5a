"""Repairs give back what must be there, and find nothing to do in a healthy run."""

import pytest

from stageline_engine import events
from stageline_engine.commands import Suspended
from stageline_engine.decide.cancel import decide_cancel
from stageline_engine.decide.repair import decide_repair
from stageline_engine.decide.suspend import decide_suspend
from stageline_engine.model.job import JobKind, JobState
from stageline_engine.model.stage import StageState
from stageline_engine.testing import workflow
from stageline_engine.testing.play import batch_stage
from tests.unit.engine.views import LATER, Life, kinds


def repaired(life: Life) -> list[events.Event]:
    return list(decide_repair(life.view(), {}, LATER))


def suspended() -> Life:
    """A run whose only stage waits for something outside."""
    life = Life(workflow("flow", batch_stage("a"))).start(1)
    return life.happen([decide_suspend(life.stages[1], Suspended(), LATER)])


def test_runs_that_wait_run_or_are_suspended_are_healthy() -> None:
    ready = Life(workflow("flow", ["a", "b"]))
    leased = Life(workflow("flow", "a")).start(1)
    for life in (ready, leased, suspended()):
        assert repaired(life) == []


def test_an_ended_run_is_left_alone() -> None:
    life = Life(workflow("flow", "a"))
    life.happen(decide_cancel(life.view(), ""))
    assert repaired(life) == []


@pytest.mark.parametrize("leased", [True, False])
def test_an_open_stage_without_a_job_gets_one(leased: bool) -> None:
    life = Life(workflow("flow", ["a", "b"]))
    if leased:
        life.start(2)
    del life.jobs[2]
    assert repaired(life) == [events.JobRestored(2, "b", 102)]
    life.happen(repaired(life))
    assert (life.stages[2].state, life.jobs[2].state) == (StageState.PENDING, JobState.READY)
    assert repaired(life) == []


def test_a_suspended_stage_gets_its_check_back() -> None:
    life = suspended()
    del life.jobs[1]
    life.happen(repaired(life))
    assert (life.stages[1].state, life.jobs[1].kind) == (StageState.SUSPENDED, JobKind.CHECK)
    assert repaired(life) == []


def test_a_transition_that_was_lost_is_made() -> None:
    life = Life(workflow("flow", "a", "b")).complete(1)
    assert kinds(repaired(life)) == ["RunAdvanced", "StageScheduled"]
    assert kinds(repaired(Life(workflow("flow", "a")).complete(1))) == ["RunCompleted"]
