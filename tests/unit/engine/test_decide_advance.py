"""What follows when stages end: nothing, the next group, or the end of the run. No fail-fast."""

import pytest
from msgspec.structs import replace

from stageline_engine import events
from stageline_engine.decide.advance import close_stage, settle_group
from stageline_engine.decide.cancel import decide_cancel
from stageline_engine.events import StageError
from stageline_engine.model.run import RunError, RunState
from stageline_engine.testing import workflow
from tests.unit.engine.views import LATER, Life, kinds

ERROR = RunError("E", "m", "a")


def closed(life: Life, number: int, *, error: RunError | None = None, output: str = "") -> list[events.Event]:
    """What follows when a stage of this run ends."""
    return list(close_stage(life.view(), life.stages[number], LATER, error=error, output=output))


def test_nothing_follows_while_a_sibling_is_open() -> None:
    life = Life(workflow("flow", ["a", "b"]))
    assert closed(life, 1, output="1") == []
    assert closed(life, 1, error=ERROR) == []


def test_the_last_stage_of_a_group_starts_the_next_with_its_generation() -> None:
    life = Life(workflow("flow", "a", ["b", "c"]))
    life.stages[1] = replace(life.stages[1], generation=5)
    happened = closed(life, 1, output="1")
    assert kinds(happened) == ["RunAdvanced", "StageScheduled", "StageScheduled"]
    assert [event.generation for event in happened if isinstance(event, events.StageScheduled)] == [5, 5]


def test_the_last_stage_of_the_last_group_completes_the_run_with_its_output() -> None:
    assert closed(Life(workflow("flow", "a")), 1, output='"out"') == [events.RunCompleted({"a": '"out"'})]


def test_the_output_of_parallel_last_stages_is_all_or_nothing() -> None:
    life = Life(workflow("flow", ["a", "b"])).complete(1)
    assert closed(life, 2, output="2") == [events.RunCompleted(None)]


def test_a_failure_waits_for_its_siblings_and_then_ends_the_run_with_the_first_error() -> None:
    life = Life(workflow("flow", ["a", "b"], "c")).start(1, 2)
    life.happen([events.StageFailed(1, "a", StageError("First", "1"))])
    first = RunError("First", "1", "a")
    assert life.view().run.error == first
    assert closed(life, 2, output="2") == [events.RunFailed(first)]
    assert closed(life, 2, error=RunError("Second", "2", "b")) == [events.RunFailed(first)]


def test_a_repair_does_nothing_while_a_stage_is_open() -> None:
    life = Life(workflow("flow", ["a", "b"])).complete(1)
    assert list(settle_group(life.view(), LATER)) == []


def test_a_repair_starts_the_group_that_should_have_begun() -> None:
    life = Life(workflow("flow", "a", "b", "c")).complete(1)
    assert list(settle_group(life.view(), LATER)) == [
        events.RunAdvanced(2, ("b",)),
        events.StageScheduled(2, "b", 2, 102, 1),
    ]


def test_a_repair_completes_or_fails_the_run_that_should_have_ended() -> None:
    done = Life(workflow("flow", "a")).complete(1)
    assert kinds(settle_group(done.view(), LATER)) == ["RunCompleted"]
    broken = Life(workflow("flow", "a", "b")).start(1)
    broken.happen([events.StageFailed(1, "a", StageError("E", "m"))])
    assert list(settle_group(broken.view(), LATER)) == [events.RunFailed(ERROR)]


def test_a_cancellation_ends_what_is_open_and_then_the_run() -> None:
    life = Life(workflow("flow", ["a", "b", "c"])).complete(1).start(3)
    happened = list(decide_cancel(life.view(), "why"))
    assert happened == [
        events.StageCancelled(2, "b"),
        events.StageCancelled(3, "c"),
        events.RunCancelled("why"),
    ]
    life.happen(happened)
    assert (life.view().run.open_stages, life.jobs) == (0, {})


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
def test_a_run_that_has_ended_is_not_cancelled(end: str) -> None:
    life = Life(workflow("flow", "a"))
    match end:
        case "complete":
            life.complete(1).happen([events.RunCompleted({"a": "1"})])
        case "fail":
            life.start(1).happen([events.StageFailed(1, "a", StageError("E", "m")), events.RunFailed(ERROR)])
        case "cancel":
            life.happen(decide_cancel(life.view(), ""))
    assert life.view().run.state in {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED}
    assert list(decide_cancel(life.view(), "again")) == []
