"""What a run's events say of how far it is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stageline_cli.run_progress import RunProgress, line_of
from stageline_sdk import Event, RunStatus, StageStatus

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def event(kind: str, stage_id: str = "", **payload: Any) -> Event:
    return Event(run_id="run-1", sequence=1, type=kind, stage_id=stage_id, at=NOON, payload=payload)


def after(*events: Event) -> RunProgress:
    progress = RunProgress()
    for each in events:
        progress.take(each)
    return progress


STARTED = event("stage:started", "a", attempt=1)


def test_a_stage_from_its_start_to_its_end() -> None:
    progress = after(event("workflow:started"), STARTED)
    assert progress.status is RunStatus.RUNNING
    assert progress.has_begun
    stage = progress.stages["a"]
    assert (stage.status, stage.attempt, stage.started_at) == (StageStatus.RUNNING, 1, NOON)
    progress.take(event("stage:progress", "a", fraction=0.5, message="half way"))
    assert (progress.stages["a"].fraction, progress.stages["a"].note) == (0.5, "half way")
    progress.take(event("stage:completed", "a", duration_ms=1500))
    done = progress.stages["a"]
    assert (done.status, done.took, done.note) == (StageStatus.COMPLETED, timedelta(seconds=1.5), "")
    assert progress.completed_count == 1


def test_a_failure_that_is_tried_again() -> None:
    error = {"type": "ValueError", "message": "no"}
    progress = after(STARTED, event("stage:failed", "a", error=error, terminal=False))
    assert progress.stages["a"].status is StageStatus.PENDING
    progress.take(event("stage:retry_scheduled", "a", attempt=2, delay_ms=2500))
    assert progress.stages["a"].note == "attempt 2 in 2.5 s; ValueError: no"
    progress.take(event("stage:started", "a", attempt=2))
    assert (progress.stages["a"].attempt, progress.stages["a"].note) == (2, "")


def test_a_failure_that_is_final() -> None:
    error = {"type": "ValueError", "message": "no", "stage_id": "a"}
    progress = after(STARTED, event("stage:failed", "a", error=error, terminal=True))
    assert progress.stages["a"].status is StageStatus.FAILED
    progress.take(event("workflow:failed", error=error))
    assert (progress.status, progress.error) == (RunStatus.FAILED, "no")


@pytest.mark.parametrize(
    ("kind", "status"), [("suspended", StageStatus.SUSPENDED), ("cancelled", StageStatus.CANCELLED)]
)
def test_other_ends(kind: str, status: StageStatus) -> None:
    assert after(STARTED, event(f"stage:{kind}", "a")).stages["a"].status is status


def test_a_job_that_is_handed_on_waits_again() -> None:
    stage = after(STARTED, event("stage:requeued", "a", reason="lease_expired")).stages["a"]
    assert (stage.status, stage.note) == (StageStatus.PENDING, "handed on: lease_expired")


def test_what_is_not_known_is_passed_over() -> None:
    progress = after(STARTED, event("stage:polished", "a", shine=11), event("moon:rose"))
    assert progress.stages["a"].status is StageStatus.RUNNING


def test_a_rerun_takes_the_run_up_again() -> None:
    progress = after(event("workflow:failed", error={"message": "no"}), event("run:rerun"))
    assert (progress.status, progress.error) == (RunStatus.RUNNING, "")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (STARTED, "stage:started  a  attempt 1"),
        (event("stage:progress", "a", fraction=0.25, message="pages"), "stage:progress  a  25% pages"),
        (event("stage:completed", "a", duration_ms=40), "stage:completed  a  in 0.04 s"),
        (event("stage:failed", "a", error={"type": "E", "message": "b\nc"}), "stage:failed  a  E: b c"),
        (event("stage:retry_scheduled", "a", attempt=2, delay_ms=100), "attempt 2 in 0.1 s"),
        (event("workflow:failed", error={"stage_id": "a", "message": "no"}), "workflow:failed  a: no"),
        (event("workflow:cancelled", reason="enough"), "workflow:cancelled  enough"),
        (event("workflow:completed"), "workflow:completed"),
        (event("new:thing", "a", x=1), "new:thing  a"),
    ],
)
def test_an_event_as_a_line(given: Event, text: str) -> None:
    line = line_of(given)
    assert line.endswith(text)
    assert "\n" not in line
