"""What is committed. Rows are frozen values, so whoever reads one keeps what it read.

Nothing in here waits: each method is atomic on the event loop, as a statement is in a database.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from stageline_engine.adapters.memory.locks import LockTable
from stageline_engine.model.access import AccessToken
from stageline_engine.model.ai_call import AiCallRow
from stageline_engine.model.blob import ArtifactRow, Blob, BlobState, PayloadRow
from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.model.job import JobRow, JobState
from stageline_engine.model.run import RunRow
from stageline_engine.model.session import SessionRow
from stageline_engine.model.stage import StageRow
from stageline_engine.model.submission import SubmissionRow
from stageline_engine.ports import LogLine
from stageline_engine.records import (
    AnnotationRecord,
    EventRow,
    JobKey,
    KeyRecord,
    ResumeToken,
    RunPayload,
    StageProgress,
    StageResult,
    SuspendedState,
)

KeyName = tuple[str, str, str]
"""(namespace, command, key) of an idempotency key."""


StreamKey = tuple[UUID, str]
"""(run id, consumer) of an outbox stream."""


@dataclass(slots=True)
class OutboxStream:
    """How far one consumer has taken one run's events, while there are events for it."""

    published: int
    pending: int = 0
    tries: int = 0
    next_try_at: datetime | None = None
    locked_until: datetime | None = None
    dead_at: datetime | None = None
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """The events that one transaction wrote of one run, at their place in the log of all events."""

    position: int
    run_id: UUID
    first_sequence: int
    last_sequence: int
    logged_at: datetime


class MemoryState:
    """The tables, each a dict by primary key, and the locks on their rows."""

    def __init__(self) -> None:
        """Starts empty."""
        self.locks = LockTable()
        self.runs: dict[UUID, RunRow] = {}
        self.payloads: dict[UUID, RunPayload] = {}
        self.stages: dict[UUID, dict[int, StageRow]] = {}
        self.jobs: dict[JobKey, JobRow] = {}
        self.ready_jobs: dict[int, dict[JobKey, JobRow]] = {}
        self.results: dict[JobKey, StageResult] = {}
        self.progress: dict[JobKey, StageProgress] = {}
        self.suspended_states: dict[JobKey, SuspendedState] = {}
        self.resume_tokens: dict[bytes, ResumeToken] = {}
        self.annotations: dict[UUID, dict[str, AnnotationRecord]] = {}
        self.events: dict[UUID, list[EventRow]] = {}
        self.commits: list[list[tuple[UUID, int]]] = []
        self.log: list[LogEntry] = []
        self.log_position = 0
        self.consumers: dict[str, datetime] = {}
        self.streams: dict[StreamKey, OutboxStream] = {}
        self.keys: dict[KeyName, KeyRecord] = {}
        self.sessions: dict[UUID, SessionRow] = {}
        self.workflows: dict[tuple[str, str], list[RegisteredWorkflow]] = {}
        self.routes_count = 0
        self.logs: list[LogLine] = []
        self.tokens: dict[UUID, AccessToken] = {}
        self.blobs: dict[Blob, tuple[BlobState, datetime]] = {}
        self.stored_payloads: dict[tuple[str, bytes], PayloadRow] = {}
        self.payload_uses: dict[tuple[UUID, bytes], bool] = {}
        self.artifacts: dict[UUID, dict[str, ArtifactRow]] = {}
        self.ai_calls: dict[tuple[str, UUID], AiCallRow] = {}
        self.lost_leases: set[tuple[UUID, int, UUID | None]] = set()
        self.log_lines_count = 0
        self.submissions: dict[tuple[UUID, int, int], dict[str, SubmissionRow]] = {}

    def put_job(self, job: JobRow) -> None:
        """Writes a job and keeps the queue of its route."""
        key = (job.run_id, job.stage_number)
        self.jobs[key] = job
        queue = self.ready_jobs.setdefault(job.route_id, {})
        if job.state is JobState.READY:
            queue[key] = job
        else:
            queue.pop(key, None)

    def delete_job(self, key: JobKey) -> None:
        """Removes a job."""
        job = self.jobs.pop(key)
        self.ready_jobs[job.route_id].pop(key, None)

    def jobs_of_run(self, run_id: UUID) -> Iterator[JobRow]:
        """Yields a run's live jobs by stage number."""
        for number in sorted(self.stages.get(run_id, ())):
            job = self.jobs.get((run_id, number))
            if job is not None:
                yield job

    def leased_to(self, session_id: UUID) -> Iterator[JobRow]:
        """Yields the jobs that a session holds."""
        return (job for job in self.jobs.values() if job.session_id == session_id)

    def add_events(self, events: Sequence[EventRow]) -> None:
        """Appends the events of one commit to their runs' logs, and to what waits for its place in the log of all."""
        for event in events:
            self.events.setdefault(event.run_id, []).append(event)
        if events:
            self.commits.append([(event.run_id, event.sequence) for event in events])
