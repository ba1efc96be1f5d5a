"""What may be rerun, and what is kept, discarded and begun."""

from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from stageline_engine import events
from stageline_engine.decide.cancel import decide_cancel
from stageline_engine.decide.rerun import IDS_TOLD_MAX, decide_rerun, refuse_rerun
from stageline_engine.events import StageError
from stageline_engine.model.run import RunError, RunState
from stageline_engine.model.stage import StageState
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing import workflow
from tests.unit.engine.views import LATER, Life, kinds

FLOW = workflow("flow", "a", ["b", "c"], "d")


def done() -> Life:
    """A run of four stages in three groups that is COMPLETED."""
    life = Life(FLOW).complete(1)
    life.happen([events.RunAdvanced(2, ("b", "c"))])
    life.happen([events.StageScheduled(2, "b", 2, 102), events.StageScheduled(3, "c", 2, 103)]).complete(2, 3)
    life.happen([events.RunAdvanced(3, ("d",)), events.StageScheduled(4, "d", 3, 104)]).complete(4)
    return life.happen([events.RunCompleted({"d": "4"})])


def broken() -> Life:
    """A run that FAILED in its first group."""
    life = Life(FLOW).start(1)
    error = RunError("E", "m", "a")
    return life.happen([events.StageFailed(1, "a", StageError("E", "m")), events.RunFailed(error)])


def refusal(life: Life, stage_id: str) -> Rejection:
    answer = refuse_rerun(life.view(), stage_id)
    assert answer is not None
    return answer


@pytest.mark.parametrize("stage_id", ["a", "b", "c", "d"])
def test_a_complete_run_can_be_rerun_from_any_stage(stage_id: str) -> None:
    assert refuse_rerun(done().view(), stage_id) is None


def test_a_run_that_goes_on_or_was_cancelled_cannot_be_rerun() -> None:
    running = Life(FLOW)
    cancelled = Life(FLOW)
    cancelled.happen(decide_cancel(cancelled.view(), ""))
    for life, state in ((running, RunState.RUNNING), (cancelled, RunState.CANCELLED)):
        answer = refusal(life, "a")
        assert (answer.reason, answer.metadata["state"]) == (Reason.RUN_NOT_RERUNNABLE, state.value)


def test_an_unknown_stage_is_told_with_those_that_exist() -> None:
    answer = refusal(done(), "z")
    assert answer.reason is Reason.STAGE_NOT_FOUND
    assert answer.metadata["valid_stage_ids"] == "a,b,c,d"


def test_no_more_stage_ids_are_told_than_a_person_reads() -> None:
    life = Life(workflow("flow", [f"s{number}" for number in range(IDS_TOLD_MAX + 1)]))
    life.run = structs.replace(life.view().run, state=RunState.COMPLETED)
    assert len(refusal(life, "z").metadata["valid_stage_ids"].split(",")) == IDS_TOLD_MAX


def test_a_stage_whose_predecessors_are_not_complete_cannot_be_rerun() -> None:
    answer = refusal(broken(), "d")
    assert answer.reason is Reason.PREDECESSORS_INCOMPLETE
    assert answer.metadata["incomplete_stage_ids"] == "a,b,c"
    assert refuse_rerun(broken().view(), "a") is None


def test_siblings_are_no_predecessors() -> None:
    life = done()
    life.stages[2] = structs.replace(life.stages[2], state=StageState.FAILED)
    assert refuse_rerun(life.view(), "c") is None
    assert refusal(life, "d").metadata["incomplete_stage_ids"] == "b"


def test_the_whole_group_runs_again_and_what_comes_after_is_discarded() -> None:
    happened = list(decide_rerun(done().view(), "c", "why", None, LATER))
    assert happened == [
        events.RunRerun("c", 2, 2, "why", None, None),
        events.StageDiscarded(4, "d"),
        events.RunAdvanced(2, ("b", "c")),
        events.StageScheduled(2, "b", 2, 102, 2),
        events.StageScheduled(3, "c", 2, 103, 2),
    ]


def test_a_rerun_makes_the_run_live_again_and_keeps_what_was_before() -> None:
    life = done()
    life.happen(decide_rerun(life.view(), "b", "", None, LATER))
    run = life.view().run
    assert (run.state, run.ended_at, run.error, run.current_group, run.open_stages) == (
        RunState.RUNNING,
        None,
        None,
        2,
        2,
    )
    assert {number: (row.generation, row.state) for number, row in life.stages.items()} == {
        1: (1, StageState.COMPLETED),
        2: (2, StageState.PENDING),
        3: (2, StageState.PENDING),
    }
    assert sorted(life.jobs) == [2, 3]


def test_each_rerun_is_a_generation_of_its_own() -> None:
    life = done()
    life.happen(decide_rerun(life.view(), "d", "", None, LATER)).complete(4)
    life.happen([events.RunCompleted({"d": "4"})])
    again = list(decide_rerun(life.view(), "a", "", None, LATER))
    assert isinstance(again[0], events.RunRerun)
    assert again[0].generation == 3


def test_a_failed_run_forgets_its_error() -> None:
    life = broken()
    life.happen(decide_rerun(life.view(), "a", "", None, LATER))
    run = life.view().run
    assert (run.state, run.error, run.failed_stages) == (RunState.RUNNING, None, 0)


def test_a_runs_time_begins_anew_and_a_config_is_taken_along() -> None:
    life = done()
    definition = replace(FLOW, run_timeout=timedelta(hours=1))
    life.workflow = replace(life.workflow, definition=definition)
    happened = list(decide_rerun(life.view(), "d", "", '{"d":{}}', LATER))
    assert happened[0] == events.RunRerun("d", 3, 2, "", LATER + timedelta(hours=1), '{"d":{}}')
    assert kinds(happened) == ["RunRerun", "RunAdvanced", "StageScheduled"]
