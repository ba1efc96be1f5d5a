"""Where a job's context sends what the stage says: to the session, on its own thread."""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from stageline.v1 import annotation_pb2, run_pb2
from stageline_sdk._job import AnnotationRecord, LogRecord, ProgressUpdate
from stageline_sdk._session_messages import Annotated, Logged, Message, Progressed, Spent
from stageline_sdk._storage_requests import StorageRequest
from stageline_sdk._usage_wire import usage_message
from stageline_sdk._wire import to_timestamp
from stageline_sdk.ai.records import UsageRecord
from stageline_sdk.submissions import Submission

_PROGRESS_MESSAGE_LENGTH_MAX = 1024
_PROGRESS_DETAILS_BYTES_MAX = 16 * 1024


class SessionSink:
    """The sink of one job. Its methods are called from the thread or loop that the stage runs in."""

    def __init__(
        self,
        lease_token: bytes,
        post: Callable[[Message], None],
        fetch: Callable[[bytes, str], bytes],
        store: Callable[[StorageRequest], Any],
        submit: Callable[[Submission], None],
    ) -> None:
        """Make a sink.

        Args:
            lease_token: The job's lease.
            post: Sends a message to the session; returns at once.
            fetch: Returns the output of a stage, given a lease; blocks.
            store: Carries out what the stage asks of its run's storage; blocks.
            submit: Puts on record how far a submission is; blocks.
        """
        self._lease_token = lease_token
        self._post = post
        self._fetch = fetch
        self._store = store
        self._submit = submit

    def log(self, record: LogRecord) -> None:
        """Send a log line."""
        entry = run_pb2.LogEntry(
            level=run_pb2.LogLevel.Value(f"LOG_LEVEL_{record.level}"),
            message=record.message,
            fields=_json_object(record.fields),
            log_time=to_timestamp(datetime.now(UTC)),
        )
        self._post(Logged(self._lease_token, entry))

    def progress(self, update: ProgressUpdate) -> None:
        """Send progress."""
        details = _json_object(update.details)
        progress = run_pb2.StageProgress(
            fraction=update.fraction,
            message=update.message[:_PROGRESS_MESSAGE_LENGTH_MAX],
            details=details if len(details) <= _PROGRESS_DETAILS_BYTES_MAX else b"",
        )
        self._post(Progressed(self._lease_token, progress))

    def annotate(self, annotation: AnnotationRecord) -> None:
        """Send an annotation; the session keeps it until the server has it."""
        entry = annotation_pb2.AnnotationEntry(
            annotation_id=str(uuid.uuid4()),
            key=annotation.key,
            value=to_json(annotation.value),
            details=_json_object(annotation.details),
            emit_event=annotation.emit_event,
        )
        self._post(Annotated(self._lease_token, entry))

    def record_usage(self, record: UsageRecord) -> None:
        """Send the record of an AI call; the session keeps it until the server has it."""
        self._post(Spent(self._lease_token, usage_message(record)))

    def fetch_output(self, stage_id: str) -> bytes:
        """Return the output of an earlier stage; blocks until it is there.

        Raises:
            ApiError: The server refused, or cannot be reached.
        """
        return self._fetch(self._lease_token, stage_id)

    def store(self, request: StorageRequest) -> Any:
        """Carry out what the stage asks of its run's storage; blocks.

        Raises:
            ApiError: The server refused, or cannot be reached.
        """
        return self._store(request)

    def submit(self, submission: Submission) -> None:
        """Put on record how far a submission is; blocks until it is.

        Raises:
            ApiError: The server refused, as the lease has ended, or cannot be reached.
        """
        self._submit(submission)


def _json_object(fields: Mapping[str, Any]) -> bytes:
    return to_json(fields) if fields else b""
