"""Frames: their numbers, their limits, heartbeats and acknowledgements."""

import pytest

from stageline.v1 import worker_pb2
from stageline_sdk._session_stream import (
    ACKNOWLEDGE_WITHIN_SECONDS,
    HEARTBEAT_MARGIN,
    FramingError,
)
from tests.unit.worker_sdk.session_harness import HEARTBEAT, LIMITS, Harness, completed, started


def test_the_first_frame_holds_hello_and_credits() -> None:
    harness = Harness(slots=3)
    frame = harness.core.open_stream([], harness.now)
    assert (frame.sequence, frame.acknowledged_sequence) == (1, 0)
    assert [item.WhichOneof("item") for item in frame.items] == ["hello", "credits"]
    assert frame.items[0].hello.slots == 3
    assert frame.items[1].credits.free_slots == 3


def test_nothing_is_said_before_welcome() -> None:
    harness = Harness()
    harness.core.open_stream([], harness.now)
    harness.now += 1000
    assert harness.core.next_frame(harness.now) is None


def test_the_first_item_must_be_welcome() -> None:
    harness = Harness()
    harness.core.open_stream([], harness.now)
    with pytest.raises(FramingError, match="Welcome"):
        harness.core.receive(worker_pb2.ServerFrame(sequence=1), harness.now)


@pytest.mark.parametrize("sequence", [1, 3])
def test_numbers_must_follow(sequence: int) -> None:
    harness = Harness()
    harness.connect()
    with pytest.raises(FramingError, match=f"frame {sequence} came after frame 1"):
        harness.core.receive(worker_pb2.ServerFrame(sequence=sequence), harness.now)


def test_a_silent_worker_pings_within_the_interval() -> None:
    harness = Harness()
    harness.connect()
    assert harness.core.next_frame(harness.now) is None
    due = harness.core.next_frame_at()
    assert due - harness.now == pytest.approx(HEARTBEAT.total_seconds() * HEARTBEAT_MARGIN)
    assert due - harness.now < HEARTBEAT.total_seconds()
    harness.now = due
    frame = harness.core.next_frame(harness.now)
    assert frame is not None
    assert (frame.sequence, frame.acknowledged_sequence, len(frame.items)) == (2, 1, 0)
    assert harness.core.next_frame(harness.now) is None


def test_an_offer_is_acknowledged_soon_by_an_empty_frame() -> None:
    harness = Harness()
    harness.connect()
    assert started(harness.offer("a")) == ["a"]
    assert harness.pump() == []
    harness.wait(ACKNOWLEDGE_WITHIN_SECONDS)
    assert harness.pump() == []
    assert harness.sent[-1].acknowledged_sequence == 2


def test_an_offer_is_acknowledged_along_with_a_quick_report() -> None:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    harness.core.finish(b"a", completed("a"))
    assert sorted(harness.kinds()) == ["credits", "report"]
    assert harness.sent[-1].acknowledged_sequence == 2
    harness.wait(ACKNOWLEDGE_WITHIN_SECONDS)
    assert len(harness.sent) == 2, "there is nothing left to acknowledge"


def test_frames_keep_to_the_limits() -> None:
    harness = Harness(slots=200)
    harness.connect()
    tokens = [f"t{number}" for number in range(200)]
    harness.offer(*tokens)
    for token in tokens:
        harness.core.finish(token.encode(), completed(token, output=b"1" * 4000))
    reports = harness.reports()
    assert [report.lease_token.decode() for report in reports] == tokens
    frames = harness.sent[1:]
    assert len(frames) > 200 * 4000 / LIMITS.frame_bytes_max
    assert max(frame.ByteSize() for frame in frames) <= LIMITS.frame_bytes_max
    assert max(len(frame.items) for frame in frames) <= LIMITS.frame_items_max
    assert [frame.sequence for frame in harness.sent] == list(range(1, len(harness.sent) + 1))


def test_items_that_are_not_known_are_passed_over() -> None:
    harness = Harness()
    harness.connect()
    unknown = worker_pb2.ServerItem.FromString(b"\xfa\x3e\x02\x08\x01")  # Field 1007, a message.
    assert unknown.WhichOneof("item") is None
    assert harness.serve(unknown) == []
    assert started(harness.offer("a")) == ["a"]
