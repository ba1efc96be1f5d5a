"""Deals with the items of worker frames, in order. One bad item is answered and harms no other."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from stageline.v1 import error_pb2, report_pb2, session_pb2, worker_pb2
from stageline_engine.commands import (
    AnnotateRun,
    Disposition,
    JobReportRecorded,
    LeaseReference,
    ProgressRecorded,
    RecordSubmission,
    ReportJob,
    Returned,
    RunAnnotated,
    SubmissionRecorded,
)
from stageline_engine.rejections import Rejection
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.dispatch.sessions import LocalSession
from stageline_server.streams.annotations import to_annotate, to_annotations
from stageline_server.streams.frames import Outbox
from stageline_server.streams.items import (
    BadItemError,
    ForbiddenOutcome,
    Reason,
    acknowledgement_item,
    annotated_item,
    stop_item,
    to_log_lines,
    to_progress,
    to_report,
)
from stageline_server.streams.submissions import (
    refused_submission,
    submission_acknowledgement,
    to_submission,
)
from stageline_server.streams.tokens import TOKEN_BYTES_MAX, LeaseToken, decode_token
from stageline_server.streams.usage import StreamLedger

_log = logging.getLogger(__name__)


class TakenReport(NamedTuple):
    """What the answer to a report says beside its result."""

    lease_token: bytes
    secret: UUID
    note: str
    annotation_ids: tuple[str, ...]


class Inbox:
    """The reading half of one session."""

    def __init__(self, plane: ControlPlane, local: LocalSession, outbox: Outbox) -> None:
        """Takes the plane, the session and where answers go."""
        self._plane = plane
        self._local = local
        self._outbox = outbox
        self._unanswered = 0
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        self._saying: Counter[UUID] = Counter()
        self._behind: dict[UUID, list[Callable[[], None]]] = {}
        self._ledger = StreamLedger(plane, local, outbox, self._begin, self._answer)
        self._handlers: dict[str | None, Callable[[Any], None]] = {
            "credits": self._credits,
            "report": self._report,
            "progress": self._progress,
            "annotation": self._annotation,
            "usage": self._ledger.take,
            "submission": self._submission,
            "logs": self._logs,
            "directive_done": self._directive_done,
            "drain": self._drain,
        }

    def take(self, frame: worker_pb2.WorkerFrame, *, skip_first: bool = False) -> None:
        """Deals with one frame whose framing has been checked."""
        self._outbox.acknowledged(frame.acknowledged_sequence)
        for index, item in enumerate(frame.items):
            if index or not skip_first:
                self._take(frame.sequence, index, item)
        self._outbox.received_sequence = frame.sequence

    def _take(self, sequence: int, index: int, item: worker_pb2.WorkerItem) -> None:
        kind = item.WhichOneof("item")
        handler = self._handlers.get(kind)
        try:
            if kind == "hello":
                raise BadItemError(Reason.ERROR_REASON_FRAME_INVALID, "Hello comes once, in the first frame.")
            if handler is None:
                message = f"This server does not serve items of kind {kind or 'unknown'}."
                raise BadItemError(Reason.ERROR_REASON_METHOD_NOT_SERVED, message, {"method": kind or ""})
            handler(getattr(item, kind or ""))
        except BadItemError as bad:
            self._refuse(sequence, index, item, bad.detail)
        except Exception:  # noqa: BLE001 - logged and answered: one bad item must not end the work of all others
            _log.exception("an item of kind %s could not be dealt with", kind)
            detail = error_pb2.ErrorDetail(
                reason=Reason.ERROR_REASON_INTERNAL, message="The server could not deal with the item."
            )
            self._refuse(sequence, index, item, detail)

    def _refuse(
        self, sequence: int, index: int, item: worker_pb2.WorkerItem, detail: error_pb2.ErrorDetail
    ) -> None:
        kind = item.WhichOneof("item")
        token = getattr(getattr(item, kind, None), "lease_token", b"") if kind else b""
        error = worker_pb2.ItemError(
            frame_sequence=sequence, item_index=index, lease_token=token[:TOKEN_BYTES_MAX], error=detail
        )
        self._outbox.put(worker_pb2.ServerItem(error=error))

    def hand_on(self, leases: Iterable[LeaseReference], *, started: bool) -> None:
        """Gives back jobs of this session that its worker does not do any more, at no attempt's cost.

        Args:
            leases: Their leases.
            started: Whether the worker had them.
        """
        for lease in list(leases):
            self._local.drop(lease.lease_token)
            command = ReportJob(
                self._local.namespace,
                lease.run_id,
                lease.stage_number,
                lease.lease_token,
                Returned(started=started),
            )
            self._submit(command, self._handed_on)

    def _handed_on(self, result: JobReportRecorded | BaseException) -> None:
        if isinstance(result, BaseException):
            _log.warning("a lease could not be handed on; it is looked for later: %s", result)
            self._plane.suspect_lost_offers([self._local.id])

    async def answered(self) -> None:
        """Waits until every report that was taken has been committed, and its answer put into the outbox."""
        await self._all_answered.wait()

    def _submit(self, command: ReportJob, done: Callable[[JobReportRecorded | BaseException], None]) -> None:
        """Has a report committed, and keeps count of those that are not yet."""
        self._begin()

        def committed(result: JobReportRecorded | BaseException) -> None:
            self._answer()
            done(result)

        self._plane.report(command, committed)

    def _begin(self) -> None:
        self._unanswered += 1
        self._all_answered.clear()

    def _answer(self) -> None:
        self._unanswered -= 1
        if not self._unanswered:
            self._all_answered.set()

    def _credits(self, credits_: session_pb2.Credits) -> None:
        self._local.set_credit(credits_.free_slots, self._outbox.offers_on_the_way)
        if self._local.free_slots:
            self._plane.leaser.slots_freed()

    def _report(self, report: report_pb2.Report) -> None:
        token = decode_token(report.lease_token)
        raw = report.lease_token[:TOKEN_BYTES_MAX]
        if token is None:
            superseded = JobReportRecorded(Disposition.SUPERSEDED)
            self._outbox.put(acknowledgement_item(raw, superseded))
            return
        said, faults = to_annotations(report.annotations)
        for fault in faults:
            error = worker_pb2.ItemError(lease_token=raw, error=fault)
            self._outbox.put(worker_pb2.ServerItem(error=error))
        calls = self._ledger.of_report(raw, report.usage) if report.usage else ()
        command = to_report(self._local.namespace, token, report, said, calls)
        note = command.outcome.error.message if isinstance(command.outcome, ForbiddenOutcome) else ""
        taken = TakenReport(raw, token.secret, note, tuple(each.id for each in said))

        def submit() -> None:
            self._submit(command, lambda result: self._reported(taken, result))

        if self._saying[token.secret]:  # its end of the lease must not overtake what was said under it
            self._behind.setdefault(token.secret, []).append(submit)
        else:
            submit()

    def _reported(self, taken: "TakenReport", result: JobReportRecorded | BaseException) -> None:
        """Answers a report after its commit. One that could not be committed stays unanswered: it will come again."""
        if isinstance(result, BaseException):
            _log.warning("a report was not recorded: %s", result)
            return
        self._local.drop(taken.secret)
        if taken.note and result.disposition is Disposition.RECORDED:
            result = replace(result, note=taken.note)
        self._outbox.put(acknowledgement_item(taken.lease_token, result))
        counted = result.disposition in (Disposition.RECORDED, Disposition.ALREADY_RECORDED)
        if taken.annotation_ids and counted:
            self._outbox.put(annotated_item(taken.annotation_ids))
        if result.booked:
            self._ledger.acknowledge(result.booked)

    def _annotation(self, item: worker_pb2.AnnotationItem) -> None:
        token = self._held_token(item.lease_token)
        command = to_annotate(self._local.namespace, token, item.annotation)
        self._begin_saying(token.secret)
        self._plane.annotate(command, lambda result: self._annotated(token, command, result))

    def _annotated(
        self, token: LeaseToken, command: AnnotateRun, result: RunAnnotated | Rejection | BaseException
    ) -> None:
        """Answers an annotation after its commit."""
        if isinstance(result, RunAnnotated):
            self._outbox.put(annotated_item(said.id for said in command.annotations))
        elif isinstance(result, Rejection):
            self._lose(token)
        else:
            _log.warning("an annotation was not recorded; its worker sends it again: %s", result)
        self._end_saying(token.secret)

    def _submission(self, item: worker_pb2.SubmissionDeclaration) -> None:
        """Has a submission put on record. What became of one, its worker may say also when its lease has ended."""
        command = to_submission(self._local.namespace, item)
        self._begin_saying(command.lease_token)
        self._plane.submissions.submit(command, lambda result: self._submitted(item, command, result))

    def _submitted(
        self,
        item: worker_pb2.SubmissionDeclaration,
        command: RecordSubmission,
        result: SubmissionRecorded | Rejection | BaseException,
    ) -> None:
        """Answers a submission after its commit; one that could not be committed stays unanswered."""
        if isinstance(result, SubmissionRecorded):
            acknowledgement = submission_acknowledgement(item)
            self._outbox.put(worker_pb2.ServerItem(submission_acknowledgement=acknowledgement))
        elif isinstance(result, Rejection):
            error = worker_pb2.ItemError(
                lease_token=item.lease_token[:TOKEN_BYTES_MAX], error=refused_submission(result).detail
            )
            self._outbox.put(worker_pb2.ServerItem(error=error))
        else:
            _log.warning("a submission was not recorded: %s", result)
        self._end_saying(command.lease_token)

    def _begin_saying(self, lease_token: UUID) -> None:
        """Something is on its way to its commit that a report under this lease must not overtake."""
        self._begin()
        self._saying[lease_token] += 1

    def _end_saying(self, lease_token: UUID) -> None:
        """It is answered: lets the reports go on that came behind it."""
        self._saying[lease_token] -= 1
        if not self._saying[lease_token]:
            del self._saying[lease_token]
            for submit in self._behind.pop(lease_token, ()):
                submit()
        self._answer()

    def _progress(self, progress: worker_pb2.Progress) -> None:
        token = self._token(progress.lease_token)
        command = to_progress(self._local.namespace, token, progress.progress)
        self._plane.progress(command, lambda result: self._progressed(token, result))

    def _progressed(self, token: LeaseToken, result: ProgressRecorded | BaseException) -> None:
        """A lease that no longer counts is told to stop; progress that could not be written is simply lost."""
        if isinstance(result, ProgressRecorded) and not result.recorded:
            self._lose(token)

    def _lose(self, token: LeaseToken) -> None:
        """Tells the worker to stop a job whose lease no longer counts."""
        self._local.drop(token.secret)
        lease = LeaseReference(self._local.id, token.secret, token.run_id, token.stage_number)
        self._outbox.put_stop(stop_item(lease, worker_pb2.STOP_REASON_LEASE_LOST), token.secret)

    def _logs(self, batch: worker_pb2.LogBatch) -> None:
        token = self._held_token(batch.lease_token)
        attempt = self._local.attempts.get(token.secret, 0)
        generation = self._local.generations.get(token.secret, 0)
        self._plane.logs.add(to_log_lines(token, generation, attempt, batch, self._plane.ports.clock.now()))

    def _directive_done(self, done: worker_pb2.DirectiveDone) -> None:
        """Local work has ended. Where nobody had told it to, the job is handed on: its worker does not do it any more."""
        lease = self._local.held.get(self._token(done.lease_token).secret)
        if lease is not None:
            self.hand_on([lease], started=True)

    def _drain(self, drain: session_pb2.Drain) -> None:
        self._local.draining = True

    def _held_token(self, raw: bytes) -> LeaseToken:
        """The token of a lease that is this session's."""
        token = self._token(raw)
        if token.secret not in self._local.held:
            raise BadItemError(
                Reason.ERROR_REASON_LEASE_SUPERSEDED, "The lease is not this session's, or has ended."
            )
        return token

    @staticmethod
    def _token(raw: bytes) -> LeaseToken:
        token = decode_token(raw)
        if token is None:
            raise BadItemError(
                Reason.ERROR_REASON_INVALID_FIELD, "The lease token is malformed.", {"field": "lease_token"}
            )
        return token
