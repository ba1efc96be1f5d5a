"""A sink that keeps what stages say, and says when something came."""

import threading
from collections.abc import Mapping
from typing import Any

from stageline_sdk._job import AnnotationRecord, LogRecord, ProgressUpdate
from stageline_sdk._storage_requests import StorageRequest
from stageline_sdk._storage_testing import store_in
from stageline_sdk.ai import UsageRecord
from stageline_sdk.errors import ApiError
from stageline_sdk.submissions import Submission


class KeepingSink:
    def __init__(self, stored: Mapping[str, bytes] | None = None) -> None:
        self.logs: list[LogRecord] = []
        self.updates: list[ProgressUpdate] = []
        self.annotations: list[AnnotationRecord] = []
        self.usage: list[UsageRecord] = []
        self.fetched: list[str] = []
        self.logged = threading.Event()
        self.artifacts: dict[str, bytes] = {}
        self.submissions: list[Submission] = []
        self._stored = dict(stored or {})

    def log(self, record: LogRecord) -> None:
        self.logs.append(record)
        self.logged.set()

    def progress(self, update: ProgressUpdate) -> None:
        self.updates.append(update)

    def annotate(self, annotation: AnnotationRecord) -> None:
        self.annotations.append(annotation)

    def record_usage(self, record: UsageRecord) -> None:
        self.usage.append(record)

    def fetch_output(self, stage_id: str) -> bytes:
        self.fetched.append(stage_id)
        if stage_id not in self._stored:
            raise ApiError(f"no output of {stage_id}", reason="STAGE_NOT_FOUND")
        return self._stored[stage_id]

    def store(self, request: StorageRequest) -> Any:
        return store_in(self.artifacts, request)

    def submit(self, submission: Submission) -> None:
        self.submissions.append(submission)
