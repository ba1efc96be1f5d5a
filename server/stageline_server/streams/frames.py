"""Outgoing frames: items queue up and ride together, in order, within the limits of a frame."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from stageline.v1 import worker_pb2
from stageline_engine import limits

_log = logging.getLogger(__name__)

FRAME_OVERHEAD_BYTES = 64
"""Room for the frame's own fields."""

ITEM_OVERHEAD_BYTES = 8
"""Tag and length of one item inside a frame."""

ITEM_BYTES_MAX = limits.FRAME_BYTES_MAX - FRAME_OVERHEAD_BYTES - ITEM_OVERHEAD_BYTES
"""The largest item that a frame can carry."""


class Waiting(NamedTuple):
    """An item that waits for a frame, with its size; ``offered`` is the lease of an offer."""

    item: worker_pb2.ServerItem
    offered: UUID | None
    size_bytes: int


class SentOffer(NamedTuple):
    """An offer that a frame has carried and the worker has not acknowledged."""

    sequence: int
    lease_token: UUID


def _nothing() -> None:
    """What happens when an outbox overflows that nobody looks after."""


class Outbox:
    """The items that wait for a stream, and the numbering of its frames.

    Attributes:
        received_sequence: The worker's last frame that was dealt with; each frame acknowledges it.
        waiting_bytes: Size of the items that wait for a frame.
    """

    def __init__(self, overflow: Callable[[], None] = _nothing) -> None:
        """Starts empty; the first frame has sequence 1. ``overflow`` is called when more waits than ``OUTBOX_BYTES_MAX``."""
        self._overflow = overflow
        self.waiting_bytes = 0
        self._urgent: deque[Waiting] = deque()
        self._waiting: deque[Waiting] = deque()
        self._offers_waiting: set[UUID] = set()
        self._offers_sent: deque[SentOffer] = deque()
        self._arrived = asyncio.Event()
        self._sequence = 0
        self._finishing = False
        self._last: worker_pb2.ServerItem | None = None
        self.received_sequence = 0

    def put(self, item: worker_pb2.ServerItem, offered: UUID | None = None) -> None:
        """Adds an item; ``offered`` is the lease of an offer, to be known as on its way until it is acknowledged."""
        if offered is not None:
            self._offers_waiting.add(offered)
        self._append(self._waiting, item, offered)

    def put_first(self, item: worker_pb2.ServerItem) -> None:
        """Adds an item before all that wait, behind others that were added so."""
        self._append(self._urgent, item, None)

    def _append(self, queue: deque[Waiting], item: worker_pb2.ServerItem, offered: UUID | None) -> None:
        queue.append(waiting := Waiting(item, offered, item.ByteSize()))
        self.waiting_bytes += waiting.size_bytes
        self._arrived.set()
        if self.waiting_bytes > limits.OUTBOX_BYTES_MAX:
            self._overflow()

    def put_stop(self, item: worker_pb2.ServerItem, lease_token: UUID) -> None:
        """Adds a directive to stop: a worker should stop before it is given more, but never before it was given this."""
        if lease_token in self._offers_waiting:
            self.put(item)
        else:
            self.put_first(item)

    def withdraw_offers(self) -> list[UUID]:
        """Takes out the offers that no frame has carried yet; returns their leases."""
        withdrawn = [waiting.offered for waiting in self._waiting if waiting.offered is not None]
        self._waiting = deque(waiting for waiting in self._waiting if waiting.offered is None)
        self._offers_waiting.clear()
        self.waiting_bytes = sum(waiting.size_bytes for waiting in (*self._urgent, *self._waiting))
        return withdrawn

    def withdraw_sent_offers(self) -> list[UUID]:
        """Forgets the offers that the worker has not acknowledged; returns their leases."""
        withdrawn = [offer.lease_token for offer in self._offers_sent]
        self._offers_sent.clear()
        return withdrawn

    def finish(self, last: worker_pb2.ServerItem | None = None) -> None:
        """Has the writer stop when nothing waits any more; ``last`` is the last item of the last frame."""
        self._last = last
        self._finishing = True
        self._arrived.set()

    @property
    def finished(self) -> bool:
        """Whether ``finish`` was called and everything has been put into a frame."""
        return self._finishing and self._last is None and not self._urgent and not self._waiting

    async def next_frame(self, wait_seconds: float) -> worker_pb2.ServerFrame:
        """Waits for items and returns the next frame; an empty one, a ping, after ``wait_seconds`` without any."""
        if not self._urgent and not self._waiting and not self._finishing:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), wait_seconds)
        return self.build()

    def build(self) -> worker_pb2.ServerFrame:
        """Returns the next frame with as many of the waiting items as it can carry."""
        self._sequence += 1
        frame = worker_pb2.ServerFrame(sequence=self._sequence, acknowledged_sequence=self.received_sequence)
        size = FRAME_OVERHEAD_BYTES
        for queue in (self._urgent, self._waiting):
            size = self._fill(frame, queue, size)
        if (
            self._last is not None
            and not self._urgent
            and not self._waiting
            and _fits(frame, size, self._last.ByteSize())
        ):
            frame.items.append(self._last)
            self._last = None
        return frame

    def _fill(self, frame: worker_pb2.ServerFrame, queue: deque[Waiting], size: int) -> int:
        """Moves items into a frame until it is full; returns its size."""
        while queue and _fits(frame, size, queue[0].size_bytes):
            item, offered, size_bytes = queue.popleft()
            self.waiting_bytes -= size_bytes
            if size_bytes > ITEM_BYTES_MAX:
                # Its makers keep to the limit. A frame that its reader refuses would cost the whole stream.
                _log.error("an item of %d bytes was not sent: %s", size_bytes, item.WhichOneof("item"))
                continue
            size += size_bytes + ITEM_OVERHEAD_BYTES
            frame.items.append(item)
            if offered is not None:
                self._offers_waiting.discard(offered)
                self._offers_sent.append(SentOffer(self._sequence, offered))
        return size

    def acknowledged(self, sequence: int) -> None:
        """Forgets the offers that the worker has dealt with."""
        while self._offers_sent and self._offers_sent[0].sequence <= sequence:
            self._offers_sent.popleft()

    @property
    def offers_on_the_way(self) -> int:
        """Offers that the worker has not acknowledged, those that wait for a frame included."""
        return len(self._offers_sent) + len(self._offers_waiting)

    @property
    def oldest_offer_sequence(self) -> int:
        """The first frame with an offer that the worker has not acknowledged; 0 where there is none."""
        return self._offers_sent[0].sequence if self._offers_sent else 0

    @property
    def last_sequence(self) -> int:
        """Sequence of the last frame that was built; 0 before the first."""
        return self._sequence


def _fits(frame: worker_pb2.ServerFrame, size: int, item_bytes: int) -> bool:
    """Whether an item goes into a frame of that size. An empty frame takes any, so that none waits for ever."""
    if not frame.items:
        return True
    return (
        len(frame.items) < limits.FRAME_ITEMS_MAX
        and size + item_bytes + ITEM_OVERHEAD_BYTES <= limits.FRAME_BYTES_MAX
    )
