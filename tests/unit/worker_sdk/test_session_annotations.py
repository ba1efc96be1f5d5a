"""Annotations on their way: sent at once, kept until the server has them."""

from stageline.v1 import annotation_pb2, session_pb2, worker_pb2
from stageline_sdk._session_annotations import IN_REPORT_MAX
from tests.unit.worker_sdk.session_harness import Harness, acknowledgement, completed, verdict


def note(name: str) -> annotation_pb2.AnnotationEntry:
    return annotation_pb2.AnnotationEntry(annotation_id=name, key="k", value=b"1")


def recorded(*names: str) -> worker_pb2.ServerItem:
    return worker_pb2.ServerItem(
        record_acknowledgement=worker_pb2.RecordAcknowledgement(annotation_ids=names)
    )


def working() -> Harness:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.pump()
    return harness


def sent(harness: Harness) -> list[str]:
    return [
        item.annotation.annotation.annotation_id
        for item in harness.pump()
        if item.WhichOneof("item") == "annotation"
    ]


def test_a_note_goes_at_once_and_only_once() -> None:
    harness = working()
    harness.core.annotate(b"a", note("n"))
    (item,) = harness.pump()
    assert (item.annotation.lease_token, item.annotation.annotation.annotation_id) == (b"a", "n")
    assert sent(harness) == []


def test_a_note_that_was_acknowledged_is_not_in_the_report() -> None:
    harness = working()
    for name in ("one", "two"):
        harness.core.annotate(b"a", note(name))
    assert sent(harness) == ["one", "two"]
    harness.serve(recorded("one"))
    harness.core.finish(b"a", completed("a"))
    (report,) = harness.reports()
    assert [entry.annotation_id for entry in report.annotations] == ["two"]


def test_a_note_that_a_broken_stream_may_have_lost_is_sent_again() -> None:
    harness = working()
    harness.core.annotate(b"a", note("kept"))
    harness.core.annotate(b"a", note("lost"))
    assert sent(harness) == ["kept", "lost"]
    harness.serve(recorded("kept"))
    harness.core.close_stream()
    harness.connect(verdict("a", session_pb2.LEASE_VERDICT_KEEP))
    assert sent(harness) == ["lost"]


def test_what_does_not_fit_into_the_report_goes_before_it() -> None:
    harness = working()
    names = [f"n-{number}" for number in range(IN_REPORT_MAX + 5)]
    for name in names:
        harness.core.annotate(b"a", note(name))
    harness.core.finish(b"a", completed("a"))
    items = [item for item in harness.pump() if item.WhichOneof("item") in ("annotation", "report")]
    assert [item.WhichOneof("item") for item in items] == ["annotation"] * 5 + ["report"]
    assert [item.annotation.annotation.annotation_id for item in items[:5]] == names[IN_REPORT_MAX:]
    assert [entry.annotation_id for entry in items[-1].report.annotations] == names[:IN_REPORT_MAX]


def test_nothing_is_kept_for_a_job_whose_report_is_in() -> None:
    harness = working()
    harness.core.annotate(b"a", note("n"))
    harness.core.finish(b"a", completed("a"))
    harness.pump()
    harness.serve(acknowledgement("a"))
    assert len(harness.core.jobs) == 0
