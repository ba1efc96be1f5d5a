"""AI calls of a worker, from their making until the server has them. They outlive their jobs: what was spent was spent."""

from collections import Counter, deque
from collections.abc import Iterable

from stageline.v1 import report_pb2, usage_pb2, worker_pb2

IN_REPORT_MAX = 500
IN_REPORT_BYTES_MAX = 256 * 1024
"""Calls that ride in one report, and their size: beside them it must have room for an output."""


class UsageOutbox:
    """Calls that the server has not acknowledged, of all jobs, in the order of their making."""

    def __init__(self) -> None:
        self._kept: dict[str, worker_pb2.UsageItem] = {}
        self._unsent: deque[str] = deque()
        # Acknowledgements that will come of open records, which others of their ids have replaced here since.
        self._outdated: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, lease_token: bytes, record: usage_pb2.UsageRecord) -> None:
        """Take one that was just made. Of an id that waits already the first counts, bar an open one: it is replaced."""
        known = self._kept.get(record.usage_id)
        if known is not None and (record.open or not known.record.open):
            return
        self._kept[record.usage_id] = worker_pb2.UsageItem(lease_token=lease_token, record=record)
        if known is not None and record.usage_id in self._unsent:
            return
        if known is not None:
            self._outdated[record.usage_id] += 1
        self._unsent.append(record.usage_id)

    def next_item(self) -> worker_pb2.WorkerItem | None:
        """Return the next one to send; None when all are sent. It stays the next one until `sent` is called."""
        while self._unsent and self._unsent[0] not in self._kept:
            self._unsent.popleft()
        return worker_pb2.WorkerItem(usage=self._kept[self._unsent[0]]) if self._unsent else None

    def sent(self) -> None:
        """The next one is in a frame."""
        self._unsent.popleft()

    def acknowledge(self, usage_ids: Iterable[str]) -> None:
        """The server has these, or will never take them."""
        for usage_id in usage_ids:
            if self._outdated[usage_id]:
                self._outdated[usage_id] -= 1
            else:
                del self._outdated[usage_id]
                self._kept.pop(usage_id, None)

    def ride_in(self, report: report_pb2.Report) -> None:
        """Put into a report what the server may not have of its job, as far as there is room: booked with the outcome."""
        room = IN_REPORT_BYTES_MAX
        riding: set[str] = set()
        for usage_id, item in self._kept.items():
            if item.lease_token != report.lease_token:
                continue
            room -= item.record.ByteSize()
            if room < 0 or len(riding) == IN_REPORT_MAX:
                break
            report.usage.append(item.record)
            riding.add(usage_id)
        if riding:
            self._unsent = deque(each for each in self._unsent if each not in riding)

    def begin_stream(self) -> None:
        """What a broken stream carried may be lost: send it again."""
        self._unsent = deque(self._kept)
        self._outdated.clear()

    def clear(self) -> int:
        """Give up on all, and return how many: the server keeps no ledger."""
        count = len(self._kept)
        self._kept.clear()
        self._unsent.clear()
        self._outdated.clear()
        return count
