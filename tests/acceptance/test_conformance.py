"""The Python worker keeps to every rule of the worker protocol, and the suite would notice if it did not."""

import shlex
import sys
from pathlib import Path

import pytest

from stageline_conformance import Report, WorkerNotStartedError, run, select

pytestmark = pytest.mark.acceptance

PYTHON_WORKER = f"{shlex.quote(sys.executable)} -m examples.conformance_worker"
UNRULY_WORKER = (
    f"{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).with_name('unruly_worker.py')))}"
)


def failures(report: Report) -> dict[str, str]:
    return {result.name: result.message for result in report.named("failed")}


@pytest.mark.timeout(240)
def test_the_python_worker_keeps_to_every_rule() -> None:
    report = run(PYTHON_WORKER)
    assert failures(report) == {}
    assert len(report.named("passed")) > 150
    assert report.worker.startswith("stageline-python")


def test_a_worker_that_breaks_the_framing_is_found() -> None:
    report = run(f"{UNRULY_WORKER} numbers", cases=select(["a-recorded-report-is-forgotten"]), lanes=1)
    assert failures(report) == {"a-recorded-report-is-forgotten": "R10: frame 3 came where 2 was due"}
    assert not report.is_conformant


def test_a_worker_that_sends_a_report_twice_is_found() -> None:
    report = run(f"{UNRULY_WORKER} twice", cases=select(["many-jobs-pass-through-few-slots"]), lanes=1)
    message = failures(report)["many-jobs-pass-through-few-slots"]
    assert message.startswith("reports in all: expected 200, got ")


def test_a_worker_that_ends_at_once_is_told_with_its_words() -> None:
    command = f"{shlex.quote(sys.executable)} -c \"raise SystemExit('no such table')\""
    report = run(command, cases=select(["hello-comes-first"]), lanes=1)
    assert "ended with code 1; it said:\nno such table" in failures(report)["hello-comes-first"]


def test_a_program_that_does_not_exist_is_told() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        run("/no/such/program", cases=select(["hello-comes-first"]))
    assert isinstance(raised.value.exceptions[0], WorkerNotStartedError)
