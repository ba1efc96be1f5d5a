"""Offers, reports and directives."""

from datetime import timedelta

import pytest

from stageline.v1 import (
    error_pb2,
    failure_pb2,
    job_pb2,
    report_pb2,
    run_pb2,
    session_pb2,
    worker_pb2,
)
from stageline_sdk._session_actions import Notice
from stageline_sdk._session_items import STOP_WITHIN
from tests.unit.worker_sdk.session_harness import (
    LIMITS,
    Harness,
    acknowledgement,
    completed,
    duration,
    started,
    stopped,
    verdict,
)

DROP = session_pb2.LEASE_VERDICT_DROP
KEEP = session_pb2.LEASE_VERDICT_KEEP
ALREADY_RECORDED = session_pb2.LEASE_VERDICT_ALREADY_RECORDED


def directive(token: str = "a", **fields: object) -> worker_pb2.ServerItem:
    values = {
        "action": worker_pb2.DIRECTIVE_ACTION_STOP,
        "reason": worker_pb2.STOP_REASON_RUN_ENDED,
        **fields,
    }
    return worker_pb2.ServerItem(directive=worker_pb2.Directive(lease_token=token.encode(), **values))  # type: ignore[arg-type]  # fields by name


# Offers


def test_credits_are_told_when_the_server_does_not_know_them() -> None:
    harness = Harness(slots=2)
    harness.connect()
    harness.offer("a", "b")
    assert harness.kinds() == [], "the server counted its own offers"
    harness.core.finish(b"a", completed("a"))
    free = [item.credits.free_slots for item in harness.pump() if item.WhichOneof("item") == "credits"]
    assert free == [1]


def test_an_offer_that_is_sent_again_is_not_done_twice() -> None:
    harness = Harness(slots=2)
    harness.connect()
    assert started(harness.offer("a")) == ["a"]
    assert started(harness.offer("a")) == []
    assert harness.core.jobs.busy_slots == 1
    free = [item.credits.free_slots for item in harness.pump() if item.WhichOneof("item") == "credits"]
    assert free == [1], "the server believes the second copy to have taken a slot"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": 99}, report_pb2.RETURN_REASON_UNKNOWN_JOB),
        ({"kind": job_pb2.JOB_KIND_UNSPECIFIED}, report_pb2.RETURN_REASON_UNKNOWN_JOB),
        ({"stage_id": "unknown"}, report_pb2.RETURN_REASON_UNKNOWN_JOB),
    ],
)
def test_what_it_cannot_do_is_handed_back(fields: dict[str, object], reason: int) -> None:
    harness = Harness()
    harness.connect()
    assert started(harness.offer("a", **fields)) == []
    (report,) = harness.reports()
    assert report.returned.reason == reason
    assert not report.returned.started
    harness.serve(acknowledgement("a"))
    assert len(harness.core.jobs) == 0


def test_more_than_the_slots_is_handed_back() -> None:
    harness = Harness(slots=1)
    harness.connect()
    assert started(harness.offer("a", "b")) == ["a"]
    (report,) = harness.reports()
    assert (report.lease_token, report.returned.reason) == (b"b", report_pb2.RETURN_REASON_NO_FREE_SLOT)


# Reports


def test_a_report_is_kept_until_it_is_acknowledged() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.finish(b"a", completed("a"))
    assert len(harness.reports()) == 1
    assert harness.reports() == [], "once on each stream"
    assert len(harness.core.jobs) == 1
    harness.serve(acknowledgement("a"))
    assert len(harness.core.jobs) == 0


@pytest.mark.parametrize("disposition", report_pb2.ReportDisposition.values())
def test_any_disposition_ends_it(disposition: report_pb2.ReportDisposition.ValueType) -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.finish(b"a", completed("a"))
    harness.pump()
    harness.serve(acknowledgement("a", disposition))
    assert len(harness.core.jobs) == 0


def test_a_refusal_is_told_to_the_operator() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.finish(b"a", completed("a"))
    item = acknowledgement("a", report_pb2.REPORT_DISPOSITION_REFUSED)
    item.report_acknowledgement.error.reason = error_pb2.ERROR_REASON_INVALID_OUTPUT
    item.report_acknowledgement.error.message = "the output breaks its schema"
    item.report_acknowledgement.error.violations.add(field="output.score", description="is no number")
    (notice,) = harness.serve(item)
    assert isinstance(notice, Notice)
    for words in ("work", "run-1", "INVALID_OUTPUT", "breaks its schema", "output.score: is no number"):
        assert words in notice.text


def test_an_unacknowledged_report_is_sent_again_after_keep() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.finish(b"a", completed("a"))
    harness.pump()
    harness.core.close_stream()
    harness.connect()
    (held,) = harness.sent[0].items[0].hello.held_leases
    assert (held.lease_token, held.unacknowledged_report) == (b"a", True)
    assert harness.sent[0].items[0].hello.resume_session_id == "session-1"
    assert harness.reports() == [], "the server's verdict comes first"
    harness.serve(verdict("a", KEEP))
    assert [report.lease_token for report in harness.reports()] == [b"a"]


@pytest.mark.parametrize("value", [DROP, ALREADY_RECORDED])
def test_a_report_that_the_server_does_not_want_is_forgotten(
    value: session_pb2.LeaseVerdict.ValueType,
) -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.finish(b"a", completed("a"))
    harness.core.close_stream()
    harness.connect(verdict("a", value))
    assert harness.reports() == []
    assert len(harness.core.jobs) == 0


def test_work_goes_on_over_a_broken_stream() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.close_stream()
    assert stopped(harness.connect(verdict("a", KEEP))) == []
    hello = harness.sent[0].items[0].hello
    assert [(held.lease_token, held.unacknowledged_report) for held in hello.held_leases] == [(b"a", False)]
    assert harness.sent[0].items[1].credits.free_slots == 3
    harness.core.finish(b"a", completed("a"))
    assert len(harness.reports()) == 1


def test_a_job_that_ends_while_there_is_no_stream_is_reported_on_the_next() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.close_stream()
    harness.core.finish(b"a", completed("a"))
    assert harness.pump() == []
    harness.connect(verdict("a", KEEP))
    assert len(harness.reports()) == 1


def test_a_dropped_lease_stops_the_work_and_owes_nothing() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.close_stream()
    assert stopped(harness.connect(verdict("a", DROP))) == ["a"]
    harness.core.finish(b"a", completed("a"))
    assert harness.reports() == []
    assert len(harness.core.jobs) == 0


def test_a_session_of_somebody_else_is_abandoned() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.close_stream()
    assert stopped(harness.core.abandon_session()) == ["a"]
    hello = harness.core.open_stream([], harness.now).items[0].hello
    assert hello.resume_session_id == ""
    assert len(hello.held_leases) == 0


def test_an_output_that_is_too_large_becomes_a_failure_that_says_so() -> None:
    harness = Harness(slots=2)
    harness.connect()
    harness.offer("a", "b")
    limit = LIMITS.inline_payload_bytes_max
    harness.core.finish(b"a", completed("a", output=b"1" * limit))
    harness.core.finish(b"b", completed("b", output=b"1" * (limit + 1)))
    fits, failed = harness.reports()
    assert fits.WhichOneof("outcome") == "completed"
    error = failed.failed.error
    assert (error.kind, error.type) == (failure_pb2.FAILURE_KIND_INVALID_OUTPUT, "PAYLOAD_TOO_LARGE")
    assert error.HasField("retryable")
    assert not error.retryable
    assert f"{limit + 1:,} bytes" in error.message
    assert f"{LIMITS.payload_bytes_max:,}" in error.message


def test_a_report_that_is_too_large_for_a_frame_becomes_a_failure() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    report = completed("a")
    for _ in range(3):
        report.annotations.add(key="note", value=b'"%s"' % (b"x" * 30_000))
    harness.core.finish(b"a", report)
    (failed,) = harness.reports()
    assert failed.failed.error.type == "PAYLOAD_TOO_LARGE"
    assert "annotations" in failed.failed.error.message


# Directives


def test_a_directive_stops_a_job_and_is_answered_when_it_has_stopped() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    assert stopped(harness.serve(directive(message="changed my mind"))) == ["a"]
    assert harness.kinds() == []
    harness.core.finish(b"a", None)
    (credits_, done) = harness.pump()
    assert credits_.credits.free_slots == 4
    assert (done.directive_done.lease_token, done.directive_done.stopped) == (b"a", True)
    assert len(harness.core.jobs) == 0


def test_work_that_cannot_be_stopped_is_cut_off_and_keeps_its_slot() -> None:
    harness = Harness(slots=1)
    harness.connect()
    harness.offer("a")
    harness.serve(directive())
    assert harness.core.next_tick_at() - harness.now == STOP_WITHIN.total_seconds()
    harness.wait(STOP_WITHIN.total_seconds())
    (done,) = harness.pump()
    assert not done.directive_done.stopped
    assert harness.core.jobs.busy_slots == 1, "the thread runs on"
    harness.core.finish(b"a", completed("a"))
    assert harness.kinds() == ["credits"]
    assert len(harness.core.jobs) == 0


def test_the_deadline_of_a_directive_counts() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.serve(directive(deadline=duration(timedelta(seconds=2))))
    harness.wait(2)
    assert harness.kinds() == ["directive_done"]


def test_a_directive_about_a_job_that_is_not_held_is_answered() -> None:
    harness = Harness()
    harness.connect()
    assert stopped(harness.serve(directive("nothing"))) == []
    assert harness.kinds() == ["directive_done"]


def test_actions_that_are_not_known_are_passed_over() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    assert harness.serve(directive(action=99)) == []
    assert harness.kinds() == []


def test_a_refused_item_of_a_dead_lease_stops_the_work() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.progress(b"a", run_pb2.StageProgress(fraction=0.5))
    harness.pump()
    error = error_pb2.ErrorDetail(reason=error_pb2.ERROR_REASON_LEASE_SUPERSEDED, message="gone")
    item = worker_pb2.ItemError(frame_sequence=2, lease_token=b"a", error=error)
    assert stopped(harness.serve(worker_pb2.ServerItem(error=item))) == ["a"]


def test_other_refused_items_are_told_and_harm_nothing() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    error = error_pb2.ErrorDetail(reason=error_pb2.ERROR_REASON_INVALID_FIELD, message="too long")
    item = worker_pb2.ItemError(frame_sequence=2, lease_token=b"a", error=error)
    (notice,) = harness.serve(worker_pb2.ServerItem(error=item))
    assert isinstance(notice, Notice)
    assert "INVALID_FIELD: too long" in notice.text
    harness.core.finish(b"a", completed("a"))
    assert len(harness.reports()) == 1
