"""Deals with the items of worker frames, in order. One bad item is answered and harms no other."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from stageline.v1 import report_pb2, session_pb2, worker_pb2
from stageline_engine.commands import (
    JobReportRecorded,
    LeaseReference,
    ProgressRecorded,
    ReportJob,
    Returned,
)
from stageline_engine.rejections import Rejection
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.dispatch.sessions import LocalSession
from stageline_server.streams.frames import Outbox
from stageline_server.streams.items import (
    BadItemError,
    Reason,
    acknowledgement_item,
    stop_item,
    to_log_lines,
    to_progress,
    to_report,
)
from stageline_server.streams.tokens import LeaseToken, decode_token

_log = logging.getLogger(__name__)


class Inbox:
    """The reading half of one session."""

    def __init__(self, plane: ControlPlane, local: LocalSession, outbox: Outbox) -> None:
        """Takes the plane, the session and where answers go."""
        self._plane = plane
        self._local = local
        self._outbox = outbox
        self._handlers: dict[str | None, Callable[[Any], None]] = {
            "credits": self._credits,
            "report": self._report,
            "progress": self._progress,
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
            token = getattr(getattr(item, kind, None), "lease_token", b"") if kind else b""
            self._refuse(sequence, index, token, kind, bad)

    def _refuse(self, sequence: int, index: int, token: bytes, kind: str | None, bad: BadItemError) -> None:
        if kind == "report":
            acknowledgement = report_pb2.ReportAcknowledgement(
                lease_token=token, disposition=report_pb2.REPORT_DISPOSITION_REFUSED, error=bad.detail
            )
            self._outbox.put(worker_pb2.ServerItem(report_acknowledgement=acknowledgement))
            return
        error = worker_pb2.ItemError(
            frame_sequence=sequence, item_index=index, lease_token=token, error=bad.detail
        )
        self._outbox.put(worker_pb2.ServerItem(error=error))

    def hand_on(self, leases: Iterable[LeaseReference]) -> list[asyncio.Future[None]]:
        """Gives back jobs of this session that its worker does not have, at no attempt's cost.

        Returns:
            A future for each lease, done when it has been handed on or could not be.
        """
        return [self._return(lease) for lease in leases]

    def _return(self, lease: LeaseReference) -> asyncio.Future[None]:
        self._local.drop(lease.lease_token)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(result: object) -> None:
            if isinstance(result, BaseException | Rejection):
                _log.error("a lease could not be handed on: %s", result)
            if not future.done():
                future.set_result(None)

        outcome = Returned(started=False)
        command = ReportJob(
            self._local.namespace, lease.run_id, lease.stage_number, lease.lease_token, outcome
        )
        self._plane.report(command, done)
        return future

    def _credits(self, credits_: session_pb2.Credits) -> None:
        self._local.set_credit(credits_.free_slots, self._outbox.offers_on_the_way)
        if self._local.free_slots:
            self._plane.leaser.slots_freed()

    def _report(self, report: report_pb2.Report) -> None:
        token = decode_token(report.lease_token)
        if token is None:
            superseded = report_pb2.ReportAcknowledgement(
                lease_token=report.lease_token, disposition=report_pb2.REPORT_DISPOSITION_SUPERSEDED
            )
            self._outbox.put(worker_pb2.ServerItem(report_acknowledgement=superseded))
            return
        command = to_report(self._local.namespace, token, report)
        raw = report.lease_token
        self._plane.report(command, lambda result: self._reported(raw, token.secret, result))

    def _reported(self, raw: bytes, secret: UUID, result: JobReportRecorded | BaseException) -> None:
        """Answers a report after its commit. One that could not be committed stays unanswered: it will come again."""
        if isinstance(result, BaseException):
            _log.error("a report was not recorded", exc_info=result)
            return
        self._local.drop(secret)
        self._outbox.put(acknowledgement_item(raw, result))

    def _progress(self, progress: worker_pb2.Progress) -> None:
        token = self._token(progress.lease_token)
        command = to_progress(self._local.namespace, token, progress.progress)
        self._plane.progress(command, lambda result: self._progressed(token, result))

    def _progressed(self, token: LeaseToken, result: ProgressRecorded | BaseException) -> None:
        """A lease that no longer counts is told to stop; progress that could not be written is simply lost."""
        if isinstance(result, ProgressRecorded) and not result.recorded:
            self._local.drop(token.secret)
            lease = LeaseReference(self._local.id, token.secret, token.run_id, token.stage_number)
            self._outbox.put_first(stop_item(lease, worker_pb2.STOP_REASON_LEASE_LOST))

    def _logs(self, batch: worker_pb2.LogBatch) -> None:
        token = self._token(batch.lease_token)
        if token.secret not in self._local.held:
            raise BadItemError(
                Reason.ERROR_REASON_LEASE_SUPERSEDED, "The lease is not this session's, or has ended."
            )
        attempt = self._local.attempts.get(token.secret, 0)
        self._plane.logs.add(to_log_lines(token, attempt, batch, self._plane.ports.clock.now()))

    def _directive_done(self, done: worker_pb2.DirectiveDone) -> None:
        token = self._token(done.lease_token)
        self._local.drop(token.secret)

    def _drain(self, drain: session_pb2.Drain) -> None:
        self._local.draining = True

    @staticmethod
    def _token(raw: bytes) -> LeaseToken:
        token = decode_token(raw)
        if token is None:
            raise BadItemError(
                Reason.ERROR_REASON_INVALID_FIELD, "The lease token is malformed.", {"field": "lease_token"}
            )
        return token
