"""A job in a worker's hands, from its offer until nothing is owed for it any more."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from stageline.v1 import report_pb2, run_pb2, session_pb2, worker_pb2
from stageline_sdk._reports import fitted_report
from stageline_sdk._session_annotations import JobAnnotations
from stageline_sdk._session_logs import JobLogs
from stageline_sdk._session_terms import Terms
from stageline_sdk._session_usage import UsageOutbox


class StopCause(Enum):
    """Why local work is being stopped; it decides what the server is told when it has ended."""

    DIRECTIVE = auto()
    """The server said so, and waits for DirectiveDone."""
    DROPPED = auto()
    """The lease is gone, and the server knows: nothing is owed."""
    LEASE_LOST = auto()
    """The server was not heard for the session's timeout. Whatever comes of the work is still reported."""
    DRAIN = auto()
    """The worker ends: the job is handed back."""


@dataclass(slots=True)
class HeldJob:
    """The state of one job.

    Attributes:
        lease_token: Its lease.
        title: The job for people.
        is_working: Whether local work goes on, and so a slot is taken.
        stop: Why local work is being stopped; None while it is wanted.
        cut_off_at: When local work that is being stopped is given up on; None for never.
        is_cut_off: Whether that happened: the server was told, and what still comes is dropped.
        report: What is to be reported, until it is acknowledged.
        awaits_verdict: Whether the report waits for the server's verdict on its lease.
        logs: Lines that are not sent yet.
        annotations: What the server has not acknowledged.
        progress: Progress that is not sent yet.
        progress_at: When the next progress may be sent.
    """

    lease_token: bytes
    title: str
    is_working: bool = True
    stop: StopCause | None = None
    cut_off_at: float | None = None
    is_cut_off: bool = False
    report: report_pb2.Report | None = None
    awaits_verdict: bool = False
    logs: JobLogs = field(default_factory=JobLogs)
    annotations: JobAnnotations = field(default_factory=JobAnnotations)
    progress: run_pb2.StageProgress | None = None
    progress_at: float = 0.0

    @property
    def is_held(self) -> bool:
        """Whether the lease is still ours, as far as we know, and so is named at the next Hello."""
        return self.stop not in (StopCause.DIRECTIVE, StopCause.DROPPED) or self.report is not None


class JobTable:
    """All jobs of a worker, and what is owed for them.

    Attributes:
        slots: How many may be worked on at once.
        busy_slots: How many are.
        ready_reports: Jobs whose report may be sent now, in the order in which they ended.
        directives_done: Answers to directives that are not sent yet.
        usage: AI calls that the server has not acknowledged.
        terms: What the server allows; None before the first Welcome.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.terms: Terms | None = None
        self.busy_slots = 0
        self.ready_reports: deque[HeldJob] = deque()
        self.directives_done: deque[worker_pb2.DirectiveDone] = deque()
        self.usage = UsageOutbox()
        self._jobs: dict[bytes, HeldJob] = {}
        self._speaking: dict[bytes, HeldJob] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[HeldJob]:
        return iter(list(self._jobs.values()))

    def get(self, lease_token: bytes) -> HeldJob | None:
        """Return a job; None for a lease that is not held."""
        return self._jobs.get(lease_token)

    @property
    def speaking(self) -> list[HeldJob]:
        """The jobs that have said something before their end; each frame is made by looking through these alone."""
        return list(self._speaking.values())

    def hear(self, lease_token: bytes) -> HeldJob | None:
        """Return a job that has something to say; None for one that is not worked on any more."""
        job = self._jobs.get(lease_token)
        if job is None or not job.is_working:
            return None
        self._speaking[lease_token] = job
        return job

    def begin(self, lease_token: bytes, title: str) -> None:
        """Take a job whose local work begins."""
        self._jobs[lease_token] = HeldJob(lease_token, title)
        self.busy_slots += 1

    def refuse(self, lease_token: bytes, title: str, report: report_pb2.Report) -> None:
        """Take a job only to hand it back."""
        job = self._jobs[lease_token] = HeldJob(lease_token, title, is_working=False)
        self.keep_report(job, report)

    def keep_report(self, job: HeldJob, report: report_pb2.Report) -> None:
        """Keep a report until it is acknowledged, and send it with the next frame."""
        job.report = report if self.terms is None else fitted_report(report, self.terms)
        job.annotations.ride_in(job.report)
        self.usage.ride_in(job.report)
        job.progress = None
        self.ready_reports.append(job)

    def end_work(self, job: HeldJob) -> None:
        """Take back the slot of a job whose local work has ended."""
        if job.is_working:
            job.is_working = False
            self.busy_slots -= 1

    def forget(self, job: HeldJob) -> None:
        """Nothing is owed for this job any more."""
        job.report = None
        self._speaking.pop(job.lease_token, None)
        if self._jobs.pop(job.lease_token, None) is not None and job.is_working:
            self.end_work(job)

    def settle(self, job: HeldJob) -> None:
        """The server has dealt with the job's report."""
        job.report = None
        if not job.is_working or job.is_cut_off:
            self.forget(job)

    def release(self, job: HeldJob) -> None:
        """The server wants the job's report on this stream too."""
        if job.report is not None and job.awaits_verdict:
            job.awaits_verdict = False
            self.ready_reports.append(job)

    def begin_stream(self) -> list[session_pb2.HeldLease]:
        """Return what a new stream's Hello says of the jobs; their reports wait for the server's verdicts."""
        self.usage.begin_stream()
        self.ready_reports.clear()
        self.directives_done.clear()  # The old stream's directives: a lease that Hello does not name is taken back.
        held = [job for job in self._jobs.values() if job.is_held]
        for job in held:
            job.awaits_verdict = job.report is not None
            job.annotations.begin_stream()
        return [
            session_pb2.HeldLease(lease_token=job.lease_token, unacknowledged_report=job.report is not None)
            for job in held
        ]
