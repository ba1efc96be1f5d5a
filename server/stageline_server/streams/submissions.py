"""Submissions from the wire: what a leased job is about to submit elsewhere, or has."""

from stageline.v1 import worker_pb2
from stageline_engine.commands import RecordSubmission
from stageline_engine.rejections import Rejection
from stageline_server.errors import error_detail
from stageline_server.mapping.submissions import PHASE_BY_NUMBER
from stageline_server.streams.items import BadItemError, Reason
from stageline_server.streams.tokens import TOKEN_BYTES_MAX, decode_token


def to_submission(namespace: str, item: worker_pb2.SubmissionDeclaration) -> RecordSubmission:
    """Translates what a worker says of a submission.

    Raises:
        BadItemError: It names no lease, or no phase that this server knows.
    """
    token = decode_token(item.lease_token)
    if token is None:
        message = "The lease token is malformed."
        raise BadItemError(Reason.ERROR_REASON_INVALID_FIELD, message, {"field": "lease_token"})
    told = item.submission
    phase = PHASE_BY_NUMBER.get(told.phase)
    if phase is None:
        message = f"submission.phase {told.phase} is no phase that this server knows."
        raise BadItemError(Reason.ERROR_REASON_INVALID_FIELD, message, {"field": "submission.phase"})
    return RecordSubmission(
        namespace,
        token.run_id,
        token.stage_number,
        token.secret,
        told.key,
        phase,
        told.provider_reference,
    )


def submission_acknowledgement(
    item: worker_pb2.SubmissionDeclaration,
) -> worker_pb2.SubmissionAcknowledgement:
    """Says that it is on record."""
    return worker_pb2.SubmissionAcknowledgement(
        lease_token=item.lease_token[:TOKEN_BYTES_MAX], key=item.submission.key, phase=item.submission.phase
    )


def refused_submission(rejection: Rejection) -> BadItemError:
    """The error of one that is not on record."""
    bad = BadItemError(Reason.ERROR_REASON_INVALID_FIELD, rejection.message)
    bad.detail = error_detail(rejection)
    return bad
