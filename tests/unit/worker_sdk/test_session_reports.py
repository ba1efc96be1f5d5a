"""From an outcome to a report."""

from datetime import timedelta

from stageline.v1 import failure_pb2, report_pb2
from stageline_sdk._job import Cancelled, Completed, NotReady, StageFailure, WaitsOutside
from stageline_sdk._reports import report_of, returned

TOKEN = b"lease"


def test_an_output() -> None:
    report = report_of(TOKEN, Completed(b'{"a": 1}'), active_time=timedelta(milliseconds=1500))
    assert report is not None
    assert (report.lease_token, report.completed.output.json) == (TOKEN, b'{"a": 1}')
    assert report.active_duration.ToTimedelta() == timedelta(seconds=1.5)


def test_a_failure() -> None:
    failure = StageFailure(
        "APPLICATION", "ValueError", "no", stack="trace", retryable=True, retry_after=timedelta(seconds=9)
    )
    report = report_of(TOKEN, failure)
    assert report is not None
    error = report.failed.error
    assert (error.kind, error.type) == (failure_pb2.FAILURE_KIND_APPLICATION, "ValueError")
    assert (error.message, error.stack_trace) == ("no", "trace")
    assert (error.retryable, error.retry_after.seconds) == (True, 9)


def test_what_a_failure_leaves_open_stays_unset() -> None:
    report = report_of(TOKEN, StageFailure("INTERNAL", "X", "no"))
    assert report is not None
    assert not report.failed.error.HasField("retryable")
    assert not report.failed.error.HasField("retry_after")
    assert not report.HasField("active_duration")


def test_a_suspension_and_its_checks() -> None:
    suspended = report_of(
        TOKEN, WaitsOutside(b"[1]", poll_interval=timedelta(seconds=5), max_wait=timedelta(hours=1))
    )
    assert suspended is not None
    assert suspended.suspended.state.json == b"[1]"
    assert suspended.suspended.poll_policy.poll_interval.seconds == 5
    assert suspended.suspended.poll_policy.wait_max.seconds == 3600
    plain = report_of(TOKEN, NotReady(None))
    assert plain is not None
    assert plain.WhichOneof("outcome") == "still_waiting"
    assert not plain.still_waiting.HasField("next_check_delay")
    assert not plain.still_waiting.HasField("state")
    told = report_of(TOKEN, NotReady(timedelta(seconds=3), state=b"[2]"))
    assert told is not None
    assert (told.still_waiting.next_check_delay.seconds, told.still_waiting.state.json) == (3, b"[2]")


def test_work_that_was_stopped_has_no_report() -> None:
    assert report_of(TOKEN, Cancelled("because")) is None


def test_a_message_for_people_is_cut() -> None:
    report = returned(TOKEN, "DRAINING", "x" * 2000, started=True)
    assert len(report.returned.message) == 1024
    assert (report.returned.reason, report.returned.started) == (report_pb2.RETURN_REASON_DRAINING, True)
