"""A job in the hands of a worker without a stream."""

from collections.abc import Iterator

from stageline.v1 import job_pb2, report_pb2, run_pb2, worker_pb2
from stageline_sdk._session_annotations import JobAnnotations
from stageline_sdk._session_logs import BUFFERED_ENTRIES_MAX, JobLogs, fitted
from stageline_sdk._session_messages import Annotated, Logged, Message, Progressed, Spent
from stageline_sdk._session_terms import Terms
from stageline_sdk._session_usage import UsageOutbox
from stageline_sdk.one_shot import OneShotJob

_LOG_BATCH_BYTES_MAX = 512 * 1024


class OnceJob:
    """What one job said and was not sent, and until when its lease holds.

    Attributes:
        token: Its lease.
        expires_at: When its lease ends unless it is extended, by the loop's clock.
        is_lost: Whether its lease is gone: its work is stopped and not reported.
        annotations: What the server has not acknowledged.
        usage: AI calls that the server has not acknowledged.
    """

    def __init__(self, offer: job_pb2.JobOffer, expires_at: float) -> None:
        self.token = offer.lease_token
        self.expires_at = expires_at
        self.is_lost = False
        self.annotations = JobAnnotations()
        self.usage = UsageOutbox()
        self._offer = offer
        self._logs = JobLogs()
        self._progress: run_pb2.StageProgress | None = None

    def take(self, message: Message, terms: Terms) -> None:
        """Take what the job says."""
        match message:
            case Logged():
                if len(self._logs) < BUFFERED_ENTRIES_MAX:
                    self._logs.add(fitted(message.entry, terms))
                else:
                    self._logs.drop()
            case Annotated():
                self.annotations.add(message.entry)
            case Spent():
                self.usage.add(self.token, message.record)
            case Progressed():
                self._progress = message.progress

    def items(self) -> Iterator[worker_pb2.WorkerItem]:
        """Yield what is to be sent. Logs and progress are sent once; annotations and AI calls until they are acknowledged."""
        self.annotations.begin_stream()
        while (item := self.annotations.next_item(self.token)) is not None:
            self.annotations.sent()
            yield item
        self.usage.begin_stream()
        while (item := self.usage.next_item()) is not None:
            self.usage.sent()
            yield item
        if self._progress is not None:
            progress, self._progress = self._progress, None
            yield worker_pb2.WorkerItem(
                progress=worker_pb2.Progress(lease_token=self.token, progress=progress)
            )
        if self._logs:
            batch = self._logs.take_batch(self.token, _LOG_BATCH_BYTES_MAX)
            if batch is not None:
                yield worker_pb2.WorkerItem(logs=batch)

    def told(
        self,
        report: report_pb2.Report | None,
        answer: report_pb2.ReportAcknowledgement | None,
        error: str,
    ) -> OneShotJob:
        """Return what became of the job.

        Args:
            report: What was reported; None for a lease that was lost.
            answer: What the server said; None where it could not be told.
            error: Why there is no answer.
        """
        offer, outcome, disposition = self._offer, "LOST", ""
        if report is not None and answer is not None:
            outcome = (report.WhichOneof("outcome") or "").upper()
            name = report_pb2.ReportDisposition.Name(answer.disposition)
            disposition = name.removeprefix("REPORT_DISPOSITION_")
            failed = report.failed.error
            error = answer.error.message or (
                f"{failed.type}: {failed.message}" if outcome == "FAILED" else ""
            )
        return OneShotJob(
            run_id=offer.run_id,
            workflow_name=offer.workflow_name,
            stage_id=offer.stage_id,
            kind=job_pb2.JobKind.Name(offer.kind).removeprefix("JOB_KIND_"),
            attempt=offer.attempt,
            outcome=outcome,
            disposition=disposition,
            error=error,
        )
