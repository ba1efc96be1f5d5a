"""Outgoing frames: items queue up and ride together, in order, within the limits of a frame."""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from uuid import UUID

from stageline.v1 import worker_pb2
from stageline_engine import limits

FRAME_OVERHEAD_BYTES = 64
"""Room for the frame's own fields."""

ITEM_OVERHEAD_BYTES = 8
"""Tag and length of one item inside a frame."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An offer in a frame: which frame, which lease."""

    sequence: int
    lease_token: UUID


class Outbox:
    """The items that wait for a stream, and the numbering of its frames."""

    def __init__(self) -> None:
        """Starts empty; the first frame has sequence 1."""
        self._waiting: deque[tuple[worker_pb2.ServerItem, UUID | None]] = deque()
        self._arrived = asyncio.Event()
        self._sequence = 0
        self._offers: deque[Sent] = deque()
        self.received_sequence = 0

    def put(self, item: worker_pb2.ServerItem, offered: UUID | None = None) -> None:
        """Adds an item; ``offered`` is the lease of an offer, to be known as on its way until it is acknowledged."""
        self._waiting.append((item, offered))
        self._arrived.set()

    def put_first(self, item: worker_pb2.ServerItem) -> None:
        """Adds an item before all that wait: a worker should stop before it is given more."""
        self._waiting.appendleft((item, None))
        self._arrived.set()

    async def next_frame(self, wait_seconds: float) -> worker_pb2.ServerFrame:
        """Waits for items and returns the next frame; an empty one, a ping, after ``wait_seconds`` without any."""
        if not self._waiting:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), wait_seconds)
        return self._build()

    def _build(self) -> worker_pb2.ServerFrame:
        self._sequence += 1
        frame = worker_pb2.ServerFrame(sequence=self._sequence, acknowledged_sequence=self.received_sequence)
        size = FRAME_OVERHEAD_BYTES
        while self._waiting and len(frame.items) < limits.FRAME_ITEMS_MAX:
            item, offered = self._waiting[0]
            size += item.ByteSize() + ITEM_OVERHEAD_BYTES
            if size > limits.FRAME_BYTES_MAX and frame.items:
                break
            self._waiting.popleft()
            frame.items.append(item)
            if offered is not None:
                self._offers.append(Sent(self._sequence, offered))
        return frame

    def acknowledged(self, sequence: int) -> None:
        """Forgets the offers that the worker has dealt with."""
        while self._offers and self._offers[0].sequence <= sequence:
            self._offers.popleft()

    @property
    def offers_on_the_way(self) -> int:
        """Offers that the worker has not acknowledged, those that wait for a frame included."""
        return len(self._offers) + sum(1 for _, offered in self._waiting if offered is not None)

    @property
    def last_sequence(self) -> int:
        """Sequence of the last frame that was built; 0 before the first."""
        return self._sequence

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting
