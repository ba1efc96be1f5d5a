"""What a worker does at each thing that a server says about a job."""

from collections.abc import Callable
from datetime import timedelta

from stageline.v1 import error_pb2, job_pb2, report_pb2, session_pb2, worker_pb2
from stageline_sdk._reports import ReturnReason, returned
from stageline_sdk._rpc_errors import reason_name
from stageline_sdk._session_actions import Action, Notice, StartJob, StopJob
from stageline_sdk._session_jobs import HeldJob, JobTable, StopCause

STOP_WITHIN = timedelta(seconds=10)
"""How long a job that the server wants stopped may go on, where the server sets no deadline, before it is told so."""

_STOP_REASONS = {
    worker_pb2.STOP_REASON_RUN_ENDED: "the run was cancelled or has ended",
    worker_pb2.STOP_REASON_SUPERSEDED: "another delivery of the job counts",
    worker_pb2.STOP_REASON_TIMED_OUT: "the attempt took longer than allowed",
    worker_pb2.STOP_REASON_HEARTBEAT_TIMED_OUT: "the attempt was silent for too long",
    worker_pb2.STOP_REASON_LEASE_LOST: "the server does not know the lease",
}


class JobItems:
    """Deals with the server's items that are about jobs."""

    def __init__(self, jobs: JobTable, knows: Callable[[job_pb2.JobOffer], bool]) -> None:
        self._jobs = jobs
        self._knows = knows

    def offer(self, offer: job_pb2.JobOffer, *, is_draining: bool) -> list[Action]:
        """Take a job, or hand it back. One that is held already was only sent again."""
        if self._jobs.get(offer.lease_token) is not None:
            return []
        title = f"stage {offer.stage_id!r} of run {offer.run_id}"
        refusal = self._refusal_of(offer, is_draining)
        if refusal is not None:
            reason, message = refusal
            self._jobs.refuse(offer.lease_token, title, returned(offer.lease_token, reason, message))
            return (
                [Notice("warning", f"{title} was handed back: {message}")] if reason == "UNKNOWN_JOB" else []
            )
        self._jobs.begin(offer.lease_token, title)
        return [StartJob(offer)]

    def acknowledgement(self, item: report_pb2.ReportAcknowledgement) -> list[Action]:
        """The server has dealt with a report: forget it."""
        job = self._jobs.get(item.lease_token)
        if job is None or job.report is None:
            return []
        self._jobs.settle(job)
        if item.disposition == report_pb2.REPORT_DISPOSITION_REFUSED:
            return [Notice("warning", f"the report of {job.title} was refused: {_told(item.error)}")]
        if item.disposition == report_pb2.REPORT_DISPOSITION_SUPERSEDED:
            return [Notice("info", f"the report of {job.title} came too late: another delivery counts")]
        return []

    def directive(self, item: worker_pb2.Directive, now: float) -> list[Action]:
        """Stop a job, if the server says so."""
        if item.action != worker_pb2.DIRECTIVE_ACTION_STOP:
            return []
        job = self._jobs.get(item.lease_token)
        if job is None or not job.is_working:
            self.directive_done(item.lease_token, stopped=True)
            return []
        within = item.deadline.ToTimedelta() if item.HasField("deadline") else STOP_WITHIN
        is_told = job.stop is not None
        job.stop, job.cut_off_at, job.is_cut_off = StopCause.DIRECTIVE, now + within.total_seconds(), False
        reason = item.message or _STOP_REASONS.get(item.reason, "the server wants it stopped")
        return [] if is_told else [StopJob(job.lease_token, reason)]

    def verdict(self, item: session_pb2.HeldLeaseVerdict) -> list[Action]:
        """Go on with a lease after a reconnect, or do not."""
        job = self._jobs.get(item.lease_token)
        if job is None:
            return []
        if item.verdict == session_pb2.LEASE_VERDICT_DROP:
            return self.drop(job, "another delivery of the job counts, or the run has ended")
        if item.verdict == session_pb2.LEASE_VERDICT_ALREADY_RECORDED:
            return self.drop(job, "the job was reported before")
        self._jobs.release(job)
        return []

    def refused_item(self, item: worker_pb2.ItemError) -> list[Action]:
        """An item was refused. One that names a lease that is gone ends the work on it."""
        job = self._jobs.get(item.lease_token)
        metadata = item.error.metadata
        if "usage_id" in metadata:
            self._jobs.usage.acknowledge([metadata["usage_id"]])
            text = f"the server will never book AI call {metadata['usage_id']}: {_told(item.error)}"
            return [Notice("error", text)]
        if _is_not_served(item.error, "usage"):
            count = self._jobs.usage.clear()
            text = f"the server keeps no ledger: {count} AI call(s) are not booked"
            return [Notice("warning", text)] if count else []
        if item.error.reason == error_pb2.ERROR_REASON_LEASE_SUPERSEDED:
            is_working = job is not None and job.is_working and job.stop is None
            return self.drop(job, "the lease is not live any more") if job is not None and is_working else []
        about = f" about {job.title}" if job is not None else ""
        return [Notice("warning", f"the server refused an item{about}: {_told(item.error)}")]

    def drop(self, job: HeldJob, reason: str) -> list[Action]:
        """The lease is gone: stop the work, and owe nothing for it."""
        if not job.is_working:
            self._jobs.forget(job)
            return []
        is_told = job.stop is not None
        job.report, job.stop, job.cut_off_at = None, StopCause.DROPPED, None
        return [] if is_told else [StopJob(job.lease_token, reason)]

    def directive_done(self, lease_token: bytes, *, stopped: bool) -> None:
        """Tell the server that a job is stopped, or that it cannot be."""
        self._jobs.directives_done.append(worker_pb2.DirectiveDone(lease_token=lease_token, stopped=stopped))

    def _refusal_of(self, offer: job_pb2.JobOffer, is_draining: bool) -> tuple[ReturnReason, str] | None:
        if is_draining:
            return "DRAINING", "the worker ends"
        if offer.kind not in (job_pb2.JOB_KIND_EXECUTE, job_pb2.JOB_KIND_CHECK):
            return "UNKNOWN_JOB", f"this SDK does not know jobs of kind {offer.kind}"
        if not self._knows(offer):
            where = f"{offer.workflow_name} version {offer.workflow_version}"
            return "UNKNOWN_JOB", f"this worker does not have stage {offer.stage_id!r} of {where}"
        if self._jobs.busy_slots >= self._jobs.slots:
            return "NO_FREE_SLOT", f"all {self._jobs.slots} slots are taken"
        return None


def _is_not_served(error: error_pb2.ErrorDetail, kind: str) -> bool:
    is_reason = error.reason == error_pb2.ERROR_REASON_METHOD_NOT_SERVED
    return is_reason and error.metadata["method"] == kind


def _told(error: error_pb2.ErrorDetail) -> str:
    fields = "".join(f"; {violation.field}: {violation.description}" for violation in error.violations)
    return f"{reason_name(error.reason)}: {error.message}{fields}"
