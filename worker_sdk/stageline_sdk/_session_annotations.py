"""The annotations of one job, from their making until the server has them."""

from collections import deque
from collections.abc import Iterable

from stageline.v1 import annotation_pb2, report_pb2, worker_pb2

IN_REPORT_MAX = 100
IN_REPORT_BYTES_MAX = 256 * 1024
"""Annotations that ride in one report, and their size: beside them it must have room for an output."""


class JobAnnotations:
    """Annotations of a job that the server has not acknowledged."""

    def __init__(self) -> None:
        self._kept: dict[str, annotation_pb2.AnnotationEntry] = {}
        self._unsent: deque[str] = deque()
        self._in_report: set[str] = set()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, entry: annotation_pb2.AnnotationEntry) -> None:
        """Take one that was just made."""
        self._kept[entry.annotation_id] = entry
        self._unsent.append(entry.annotation_id)

    def next_item(self, lease_token: bytes) -> worker_pb2.WorkerItem | None:
        """Return the next one to send; None when all are sent. It stays the next one until `sent` is called."""
        while self._unsent and self._unsent[0] not in self._kept:
            self._unsent.popleft()
        if not self._unsent:
            return None
        entry = self._kept[self._unsent[0]]
        return worker_pb2.WorkerItem(
            annotation=worker_pb2.AnnotationItem(lease_token=lease_token, annotation=entry)
        )

    def sent(self) -> None:
        """The next one is in a frame."""
        self._unsent.popleft()

    def acknowledge(self, annotation_ids: Iterable[str]) -> None:
        """The server has these."""
        for annotation_id in annotation_ids:
            self._kept.pop(annotation_id, None)

    def ride_in(self, report: report_pb2.Report) -> None:
        """Put into the report what the server may not have, as far as there is room. The rest goes before it."""
        room = IN_REPORT_BYTES_MAX
        for entry in self._kept.values():
            room -= entry.ByteSize()
            if room < 0 or len(report.annotations) == IN_REPORT_MAX:
                break
            report.annotations.append(entry)
            self._in_report.add(entry.annotation_id)
        self._unsent = deque(each for each in self._unsent if each not in self._in_report)

    def begin_stream(self) -> None:
        """What a broken stream carried may be lost: send it again."""
        self._unsent = deque(each for each in self._kept if each not in self._in_report)
