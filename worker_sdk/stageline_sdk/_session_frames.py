"""Filling frames: as many items as the limits allow, and no more."""

from stageline.v1 import worker_pb2
from stageline_sdk._session_terms import Terms

# The frame's own two numbers, and tag and length of each item.
_FRAME_OVERHEAD_BYTES = 32
_ITEM_OVERHEAD_BYTES = 8


class FramePacker:
    """Collects the items of one frame."""

    def __init__(self, terms: Terms) -> None:
        self.items: list[worker_pb2.WorkerItem] = []
        self._items_left = terms.frame_items_max
        self._bytes_left = terms.frame_bytes_max - _FRAME_OVERHEAD_BYTES

    @property
    def room_bytes(self) -> int:
        """How large the next item may be; 0 when the frame is full."""
        return max(0, self._bytes_left - _ITEM_OVERHEAD_BYTES) if self._items_left > 0 else 0

    def add(self, item: worker_pb2.WorkerItem) -> bool:
        """Add an item, if there is room; the first is always taken, as no other frame would have more room for it."""
        size_bytes = item.ByteSize()
        if self.items and size_bytes > self.room_bytes:
            return False
        self.items.append(item)
        self._items_left -= 1
        self._bytes_left -= size_bytes + _ITEM_OVERHEAD_BYTES
        return True
