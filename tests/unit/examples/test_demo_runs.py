"""What the demo makes of a run's end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from examples.demo.runs import outcome_of
from examples.document_processor import Report
from stageline_sdk import Failure, Run, RunResult, RunStatus, StageInfo, StageStatus

REPORT = Report(
    format="PDF", word_count=2, keywords=["a"], language="de", sentiment=None, sentiment_score=None
)


def result(status: RunStatus, *, done: int, output: Any = None, error: Failure | None = None) -> RunResult:
    stages = tuple(
        StageInfo(
            id=f"stage-{number}",
            name="",
            number=number,
            group=number,
            status=StageStatus.COMPLETED if number <= done else StageStatus.CANCELLED,
            generation=1,
            attempt=1,
            deliveries=1,
            metrics={},
        )
        for number in (1, 2, 3)
    )
    run = Run(
        id="run",
        namespace="default",
        workflow_name="document-processor",
        workflow_version=1,
        status=status,
        priority=5,
        labels={},
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return RunResult(
        run_id=run.id,
        status=status,
        output=output,
        stages=stages,
        duration=timedelta(seconds=2),
        error=error,
        run=run,
    )


def test_a_completed_run_has_a_report_and_no_reason() -> None:
    outcome = outcome_of("file:///a", result(RunStatus.COMPLETED, done=3, output=REPORT.model_dump()))
    assert outcome.report == REPORT
    assert (outcome.stages_done, outcome.stages_total, outcome.reason) == (3, 3, "")
    assert outcome.duration == timedelta(seconds=2)


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (
            RunStatus.FAILED,
            Failure(
                "APPLICATION",
                "examples.documents.errors.DocumentNotFoundError",
                "there is no file /a",
                "extract-text",
            ),
            "there is no file /a",
        ),
        (RunStatus.CANCELLED, None, "the run is cancelled"),
    ],
)
def test_a_run_without_output_has_a_reason_for_people(
    status: RunStatus, error: Failure | None, reason: str
) -> None:
    outcome = outcome_of("file:///a", result(status, done=1, error=error))
    assert outcome.report is None
    assert (outcome.stages_done, outcome.reason) == (1, reason)
