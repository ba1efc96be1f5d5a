"""Silence, lost leases, and drains of either side."""

from datetime import timedelta

import pytest

from stageline.v1 import report_pb2, session_pb2, worker_pb2
from stageline_sdk._session_actions import LeaveStream
from stageline_sdk._session_core import WELCOME_WITHIN
from tests.unit.worker_sdk.session_harness import (
    TIMEOUT,
    Harness,
    acknowledgement,
    completed,
    duration,
    started,
    stopped,
    verdict,
)

KEEP = session_pb2.LEASE_VERDICT_KEEP


def leaving(actions: list[object]) -> list[LeaveStream]:
    return [action for action in actions if isinstance(action, LeaveStream)]


# Silence


def test_a_server_that_says_no_welcome_is_left() -> None:
    harness = Harness()
    harness.core.open_stream([], harness.now)
    assert leaving([*harness.wait(WELCOME_WITHIN.total_seconds() - 0.1)]) == []
    assert len(leaving([*harness.wait(0.1)])) == 1


def test_a_welcome_is_not_awaited_for_longer_than_the_server_waits_for_the_worker() -> None:
    """The offers behind a later one may have been handed on: the chaos tests saw such jobs executed twice."""
    harness = Harness()
    harness.connect()
    harness.core.close_stream()
    assert TIMEOUT < WELCOME_WITHIN
    harness.core.open_stream([], harness.now)
    assert leaving([*harness.wait(TIMEOUT.total_seconds() - 0.1)]) == []
    assert len(leaving([*harness.wait(0.1)])) == 1


def test_a_silent_server_is_left_and_its_leases_are_lost() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    assert harness.wait(TIMEOUT.total_seconds() - 0.1) == []
    assert harness.core.next_tick_at() == pytest.approx(harness.now + 0.1)
    actions = harness.wait(0.1)
    assert len(leaving([*actions])) == 1
    assert stopped(actions) == ["a"]
    assert stopped(harness.wait(1)) == [], "told once"


def test_any_frame_is_a_sign_of_life() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    for _ in range(5):
        assert harness.wait(TIMEOUT.total_seconds() - 1) == []
        harness.serve()


def test_leases_are_lost_also_while_there_is_no_stream() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.wait(5)
    harness.core.close_stream()
    assert stopped(harness.wait(TIMEOUT.total_seconds() - 5)) == ["a"]


def test_what_comes_of_lost_work_is_still_reported() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a", "b")
    harness.core.close_stream()
    harness.wait(TIMEOUT.total_seconds())
    harness.core.finish(b"a", completed("a"))
    harness.core.finish(b"b", None)
    harness.connect(verdict("a", KEEP), verdict("b", KEEP))
    done, handed_back = harness.reports()
    assert done.WhichOneof("outcome") == "completed"
    assert handed_back.returned.started
    superseded = report_pb2.REPORT_DISPOSITION_SUPERSEDED
    harness.serve(acknowledgement("a", superseded), acknowledgement("b", superseded))
    assert len(harness.core.jobs) == 0


def test_leases_are_not_lost_twice_before_the_server_is_heard_again() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.close_stream()
    harness.wait(TIMEOUT.total_seconds())
    assert harness.core.next_tick_at() == float("inf")
    harness.connect(verdict("a", KEEP))
    assert harness.core.next_tick_at() == harness.now + TIMEOUT.total_seconds()


# The worker's drain


def test_a_drain_takes_nothing_new_and_finishes_what_is_held() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.drain(timedelta(seconds=10), harness.now)
    assert sorted(harness.kinds()) == ["credits", "drain"]
    assert started(harness.offer("late")) == []
    (handed_back,) = harness.reports()
    assert handed_back.returned.reason == report_pb2.RETURN_REASON_DRAINING
    assert not handed_back.returned.started
    harness.serve(acknowledgement("late"))
    assert not harness.core.is_drained(harness.now)
    harness.core.finish(b"a", completed("a"))
    assert len(harness.reports()) == 1
    assert not harness.core.is_drained(harness.now), "not before the report is acknowledged"
    harness.serve(acknowledgement("a"))
    assert harness.core.is_drained(harness.now)


def test_a_drain_stops_what_is_not_done_in_time_and_hands_it_back() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a", "b")
    harness.core.drain(timedelta(seconds=10), harness.now)
    harness.pump()
    assert stopped(harness.wait(7.9)) == []
    assert stopped(harness.wait(0.1)) == ["a", "b"]
    harness.core.finish(b"a", None)
    (stopped_report,) = harness.reports()
    assert (stopped_report.lease_token, stopped_report.returned.started) == (b"a", True)
    harness.wait(1.5)
    (cut_off,) = harness.reports()
    assert (cut_off.lease_token, cut_off.returned.started) == (b"b", True)
    harness.serve(acknowledgement("a"), acknowledgement("b"))
    assert harness.core.is_drained(harness.now)
    harness.core.finish(b"b", completed("b"))
    assert harness.reports() == [], "it was handed back"


def test_a_drain_is_over_when_its_time_is() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.drain(timedelta(seconds=10), harness.now)
    harness.core.drain(timedelta(seconds=20), harness.now)
    harness.wait(9.9)
    assert not harness.core.is_drained(harness.now)
    harness.wait(0.1)
    assert harness.core.is_drained(harness.now)


def test_a_drain_without_time_hands_everything_back_at_once() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a", "b")
    harness.core.drain(timedelta(0), harness.now)
    assert stopped(harness.wait(0)) == ["a", "b"]
    assert [report.returned.started for report in harness.reports()] == [True, True]
    assert harness.core.is_drained(harness.now)


def test_a_drain_is_told_on_a_new_stream_too() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.drain(timedelta(seconds=10), harness.now)
    harness.pump()
    harness.core.close_stream()
    harness.connect(verdict("a", KEEP))
    assert harness.sent[0].items[1].credits.free_slots == 0
    assert harness.kinds() == ["drain"]


# The server's drain


def drain(**fields: object) -> worker_pb2.ServerItem:
    return worker_pb2.ServerItem(drain=session_pb2.Drain(**fields))  # type: ignore[arg-type]  # fields by name


def test_a_draining_server_is_left_when_nothing_is_held() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.serve(
        drain(
            deadline=duration(timedelta(seconds=30)),
            reconnect_after=duration(timedelta(seconds=2)),
            reconnect_address="other:1",
        )
    )
    assert leaving([*harness.wait(0)]) == []
    harness.core.finish(b"a", completed("a"))
    harness.pump()
    harness.serve(acknowledgement("a"))
    (action,) = leaving([*harness.wait(0)])
    assert (action.reconnect_after, action.address) == (timedelta(seconds=2), "other:1")


def test_a_draining_server_is_left_at_its_deadline_with_what_is_held() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.serve(drain(deadline=duration(timedelta(seconds=3))))
    assert harness.core.next_tick_at() == harness.now + 3
    actions = harness.wait(3)
    assert len(leaving([*actions])) == 1
    assert stopped(actions) == [], "leases outlive their stream"
