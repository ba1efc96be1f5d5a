"""Frames: within their limits whatever is put in, in order, each item once."""

import asyncio
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stageline.v1 import job_pb2, report_pb2, session_pb2, worker_pb2
from stageline_engine import limits
from stageline_server.streams.frames import ITEM_BYTES_MAX, Outbox
from stageline_server.streams.stalls import StallWatch


def item(number: int, size: int = 0) -> worker_pb2.ServerItem:
    """An item that can be told from others, of about a size."""
    token = number.to_bytes(8, "big") + b"x" * size
    return worker_pb2.ServerItem(report_acknowledgement=report_pb2.ReportAcknowledgement(lease_token=token))


def number_of(each: worker_pb2.ServerItem) -> int:
    return int.from_bytes(each.report_acknowledgement.lease_token[:8], "big")


def frames_of(outbox: Outbox) -> Iterator[worker_pb2.ServerFrame]:
    """Builds frames until nothing waits."""
    while not outbox.finished:
        yield outbox.build()


def numbers(outbox: Outbox) -> list[int]:
    """Finishes an outbox and returns what it still held, in order."""
    outbox.finish()
    return [number_of(each) for frame in frames_of(outbox) for each in frame.items]


sizes = st.one_of(
    st.integers(0, 200),
    st.integers(0, limits.FRAME_BYTES_MAX // 3),
    st.integers(ITEM_BYTES_MAX - 40, ITEM_BYTES_MAX - 16),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(sizes, max_size=30), st.integers(0, 2500), st.integers(0, 2**63))
def test_no_frame_is_over_its_limits_and_every_item_is_sent_once_in_order(
    large: list[int], small: int, received: int
) -> None:
    outbox = Outbox()
    outbox.received_sequence = received
    for number in range(len(large) + small):
        outbox.put(item(number, large[number] if number < len(large) else 0))
    outbox.finish()
    built = list(frames_of(outbox))
    assert all(frame.ByteSize() <= limits.FRAME_BYTES_MAX for frame in built)
    assert all(0 < len(frame.items) <= limits.FRAME_ITEMS_MAX for frame in built)
    assert [frame.sequence for frame in built] == list(range(1, len(built) + 1))
    assert {frame.acknowledged_sequence for frame in built} <= {received}
    sent = [number_of(each) for frame in built for each in frame.items]
    assert sent == list(range(len(large) + small))


def test_frames_are_filled() -> None:
    outbox = Outbox()
    for number in range(2 * limits.FRAME_ITEMS_MAX + 1):
        outbox.put(item(number))
    outbox.finish()
    assert [len(frame.items) for frame in frames_of(outbox)] == [
        limits.FRAME_ITEMS_MAX,
        limits.FRAME_ITEMS_MAX,
        1,
    ]


def test_an_item_that_fits_no_frame_is_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox()
    for number, size in enumerate((0, limits.FRAME_BYTES_MAX, 0)):
        outbox.put(item(number, size))
    assert numbers(outbox) == [0, 2]
    assert "was not sent: report_acknowledgement" in caplog.text


def test_urgent_items_go_first_in_their_order() -> None:
    outbox = Outbox()
    outbox.put(item(3))
    outbox.put_first(item(1))
    outbox.put(item(4))
    outbox.put_first(item(2))
    assert numbers(outbox) == [1, 2, 3, 4]


def test_a_stop_goes_first_but_not_before_the_offer_it_speaks_of() -> None:
    outbox, waiting, sent = Outbox(), uuid4(), uuid4()
    outbox.put(item(0), offered=sent)
    outbox.build()
    outbox.put(item(1))
    outbox.put(item(2), offered=waiting)
    outbox.put_stop(item(3), waiting)
    outbox.put_stop(item(4), sent)
    assert numbers(outbox) == [4, 1, 2, 3]


def test_offers_are_on_the_way_until_they_are_acknowledged() -> None:
    outbox, tokens = Outbox(), [uuid4() for _ in range(4)]

    def offer(token: UUID) -> None:
        outbox.put(worker_pb2.ServerItem(offer=job_pb2.JobOffer()), offered=token)

    offer(tokens[0])
    outbox.build()
    offer(tokens[1])
    offer(tokens[2])
    outbox.build()
    offer(tokens[3])
    ways = [(0, 4), (1, 3), (1, 3), (2, 1), (99, 1)]
    for acknowledged, on_the_way in ways:
        outbox.acknowledged(acknowledged)
        assert outbox.offers_on_the_way == on_the_way
    assert outbox.withdraw_offers() == [tokens[3]]
    assert outbox.offers_on_the_way == 0
    assert not outbox.build().items


def test_withdrawing_offers_leaves_the_rest_in_order() -> None:
    outbox = Outbox()
    for number in range(6):
        outbox.put(item(number), offered=uuid4() if number % 2 else None)
    assert len(outbox.withdraw_offers()) == 3
    assert numbers(outbox) == [0, 2, 4]


def test_the_last_item_is_the_last_whatever_comes_late() -> None:
    outbox = Outbox()
    for number in range(limits.FRAME_ITEMS_MAX):
        outbox.put(item(number))
    outbox.finish(worker_pb2.ServerItem(session_end=session_pb2.SessionEnd()))
    outbox.put(item(7))
    built = list(frames_of(outbox))
    kinds = [each.WhichOneof("item") for frame in built for each in frame.items]
    assert kinds.index("session_end") == limits.FRAME_ITEMS_MAX + 1 == len(kinds) - 1


async def test_an_idle_outbox_waits_and_then_pings() -> None:
    outbox = Outbox()
    assert not (await outbox.next_frame(0.001)).items
    frame = asyncio.create_task(outbox.next_frame(3600))
    await asyncio.sleep(0)
    assert not frame.done()
    outbox.put(item(5))
    assert [number_of(each) for each in (await frame).items] == [5]
    assert outbox.last_sequence == 2


async def test_finishing_wakes_the_writer() -> None:
    outbox = Outbox()
    frame = asyncio.create_task(outbox.next_frame(3600))
    await asyncio.sleep(0)
    outbox.finish()
    assert not (await frame).items
    assert outbox.finished


def test_what_waits_is_counted_to_the_byte_and_told_when_it_is_too_much() -> None:
    told: list[int] = []
    outbox = Outbox(overflow=lambda: told.append(outbox.waiting_bytes))
    each = item(1, limits.FRAME_BYTES_MAX // 4)
    fitting, rest = divmod(limits.OUTBOX_BYTES_MAX, each.ByteSize())
    for _ in range(fitting):
        outbox.put(each)
    last = item(2, rest - item(2).ByteSize() - 10)
    while outbox.waiting_bytes + last.ByteSize() < limits.OUTBOX_BYTES_MAX:
        last.report_acknowledgement.lease_token += b"x"
    outbox.put(last)
    assert (outbox.waiting_bytes, told) == (limits.OUTBOX_BYTES_MAX, [])
    outbox.put_first(item(3))
    assert told == [limits.OUTBOX_BYTES_MAX + item(3).ByteSize()]
    outbox.finish()
    assert sum(len(frame.items) for frame in frames_of(outbox)) == fitting + 2
    assert outbox.waiting_bytes == 0


def test_withdrawn_offers_wait_no_more() -> None:
    outbox = Outbox()
    sent, unsent = uuid4(), uuid4()
    outbox.put(item(1), offered=sent)
    outbox.build()
    outbox.put(item(2), offered=unsent)
    outbox.put(item(3))
    assert outbox.oldest_offer_sequence == 1
    assert outbox.withdraw_offers() == [unsent]
    assert outbox.waiting_bytes == item(3).ByteSize()
    assert outbox.withdraw_sent_offers() == [sent]
    assert (outbox.oldest_offer_sequence, outbox.offers_on_the_way) == (0, 0)


def test_a_stall_is_a_frame_that_stays_the_last_or_an_offer_that_stays_the_oldest() -> None:
    outbox = Outbox()
    stalls = StallWatch(outbox, 0.0)
    assert stalls.stalled_seconds(5.0) == 5
    outbox.build()
    assert stalls.stalled_seconds(6.0) == 0
    outbox.put(item(1), offered=uuid4())
    outbox.build()
    assert stalls.stalled_seconds(8.0) == 0
    outbox.build()  # pings go on, and none acknowledges the offer
    assert stalls.stalled_seconds(11.0) == 3
    outbox.acknowledged(2)
    assert stalls.stalled_seconds(12.0) == 1  # the last frame is the one of 11.0
    outbox.build()
    assert stalls.stalled_seconds(13.0) == 0
