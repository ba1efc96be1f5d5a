"""Log lines on their way: cut to size, held to the rate that the server allows, sent in batches."""

from collections import deque
from collections.abc import Iterator

from stageline.v1 import run_pb2, worker_pb2
from stageline_sdk._session_terms import Terms

BATCH_ENTRIES_MAX = 1000
"""Most lines of one LogBatch, by the protocol."""

FIELDS_BYTES_MAX = 16 * 1024
"""Largest details of one line, by the protocol."""

BUFFERED_ENTRIES_MAX = 10_000
"""Lines that wait for a connection, of all jobs. Beyond it they are dropped and counted, or memory would run out."""

_ELLIPSIS = "…"


class RateLimit:
    """A bucket that fills at a rate and holds what one second gives."""

    def __init__(self, per_second: int, now: float) -> None:
        self.per_second = per_second
        self._level = float(per_second)
        self._at = now

    def take(self, now: float) -> bool:
        """Take one from the bucket; False if it is empty."""
        self._level = min(self.per_second, self._level + (now - self._at) * self.per_second)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


class JobLogs:
    """The lines of one job that are not sent yet."""

    __slots__ = ("_dropped_count", "_entries")

    def __init__(self) -> None:
        self._entries: deque[run_pb2.LogEntry] = deque()
        self._dropped_count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __bool__(self) -> bool:
        return bool(self._entries) or self._dropped_count > 0

    def add(self, entry: run_pb2.LogEntry) -> None:
        """Take a line."""
        self._entries.append(entry)

    def drop(self) -> None:
        """Count a line that was not taken."""
        self._dropped_count += 1

    def drop_first(self) -> None:
        """Give up on a line that is larger than a whole frame."""
        self._entries.popleft()
        self._dropped_count += 1

    def take_batch(self, lease_token: bytes, bytes_max: int) -> worker_pb2.LogBatch | None:
        """Return the next lines that fit into so many bytes; None if not even one does."""
        batch = worker_pb2.LogBatch(lease_token=lease_token, dropped_count=self._dropped_count)
        size_bytes = batch.ByteSize()
        for entry in self._fitting(bytes_max - size_bytes):
            batch.entries.append(entry)
        if not batch.entries and not batch.dropped_count:
            return None
        self._dropped_count = 0
        return batch

    def _fitting(self, bytes_max: int) -> Iterator[run_pb2.LogEntry]:
        count = 0
        while self._entries and count < BATCH_ENTRIES_MAX:
            bytes_max -= self._entries[0].ByteSize() + _ITEM_OVERHEAD_BYTES
            if bytes_max < 0:
                return
            count += 1
            yield self._entries.popleft()


# Tag and length of an item inside a repeated field.
_ITEM_OVERHEAD_BYTES = 6


def fitted(entry: run_pb2.LogEntry, terms: Terms) -> run_pb2.LogEntry:
    """Return a line within the limits: the message is cut, details that are too large are replaced by a note."""
    message = entry.message.encode()
    if len(message) > terms.log_message_bytes_max:
        room = max(0, terms.log_message_bytes_max - len(_ELLIPSIS.encode()))
        entry.message = message[:room].decode(errors="ignore") + _ELLIPSIS
    if len(entry.fields) > FIELDS_BYTES_MAX:
        note = f'{{"fields_left_out":"{len(entry.fields)} bytes, the limit is {FIELDS_BYTES_MAX}"}}'
        entry.fields = note.encode()
    return entry
