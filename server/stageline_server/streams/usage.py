"""AI calls from a worker's stream: each is booked whatever became of its lease, and acknowledged after the commit."""

import logging
from collections.abc import Callable, Iterable
from uuid import UUID

from stageline.v1 import error_pb2, usage_pb2, worker_pb2
from stageline_engine.commands import AiCallRecorded, RecordAiCall
from stageline_engine.model.ai_call import AiCall, ContentPolicy
from stageline_engine.rejections import Rejection
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.dispatch.sessions import LocalSession
from stageline_server.errors import error_detail
from stageline_server.mapping.usage import to_ai_call, to_ai_calls
from stageline_server.streams.frames import Outbox
from stageline_server.streams.items import BadItemError, Reason
from stageline_server.streams.tokens import TOKEN_BYTES_MAX, decode_token

_log = logging.getLogger(__name__)


class StreamLedger:
    """Books the AI calls of one session."""

    def __init__(
        self,
        plane: ControlPlane,
        local: LocalSession,
        outbox: Outbox,
        begin: Callable[[], None],
        answer: Callable[[], None],
    ) -> None:
        """Takes the plane, the session and where answers go; ``begin`` and ``answer`` frame each call that is on its way."""
        self._plane = plane
        self._local = local
        self._outbox = outbox
        self._begin = begin
        self._answer = answer

    def take(self, item: worker_pb2.UsageItem) -> None:
        """Has one call booked.

        Raises:
            BadItemError: It names no lease, or cannot be booked at all. ``usage_id`` of the metadata says which it was.
        """
        command = to_record(self._local.namespace, item, self._plane.settings.ai_contents)
        call = command.call
        raw = item.lease_token
        self._begin()
        self._plane.book_leased_call(command, lambda result: self._booked(raw, call.id, result))

    def _booked(self, raw: bytes, id_: UUID, result: AiCallRecorded | Rejection | BaseException) -> None:
        if isinstance(result, Rejection):
            self.refuse(raw, [refused_call(result, str(id_)).detail])
        elif isinstance(result, BaseException):
            _log.warning("an AI call was not booked; its worker sends it again: %s", result)
        else:
            self.acknowledge([id_])
        self._answer()

    def of_report(self, raw: bytes, records: Iterable[usage_pb2.UsageRecord]) -> tuple[AiCall, ...]:
        """Returns the calls inside a report that can be booked; the others are refused one by one."""
        calls, faults = to_ai_calls(records, self._plane.settings.ai_contents)
        self.refuse(raw, faults)
        return calls

    def acknowledge(self, ids: Iterable[UUID]) -> None:
        """Says that calls are on record."""
        told = worker_pb2.RecordAcknowledgement(usage_ids=[str(id_) for id_ in ids])
        self._outbox.put(worker_pb2.ServerItem(record_acknowledgement=told))

    def refuse(self, raw: bytes, faults: Iterable[error_pb2.ErrorDetail]) -> None:
        """Says that calls can never be booked, and why. ``usage_id`` of the metadata says which."""
        for fault in faults:
            error = worker_pb2.ItemError(lease_token=raw[:TOKEN_BYTES_MAX], error=fault)
            self._outbox.put(worker_pb2.ServerItem(error=error))


def to_record(namespace: str, item: worker_pb2.UsageItem, policy: ContentPolicy) -> RecordAiCall:
    """Translates an AI call of a leased job.

    Raises:
        BadItemError: It names no lease, or cannot be booked at all. ``usage_id`` of the metadata says which it was.
    """
    token = decode_token(item.lease_token)
    if token is None:
        facts = {"field": "lease_token", "usage_id": item.record.usage_id[:64]}
        raise BadItemError(Reason.ERROR_REASON_INVALID_FIELD, "The lease token is malformed.", facts)
    call = to_ai_call(item.record, policy)
    if isinstance(call, Rejection):
        raise refused_call(call, item.record.usage_id)
    return RecordAiCall(
        namespace, call, run_id=token.run_id, stage_number=token.stage_number, lease_token=token.secret
    )


def refused_call(rejection: Rejection, usage_id: str) -> BadItemError:
    """The error of a call that can never be booked."""
    bad = BadItemError(Reason.ERROR_REASON_INVALID_FIELD, rejection.message)
    bad.detail = error_detail(rejection)
    bad.detail.metadata["usage_id"] = usage_id[:64]
    return bad
