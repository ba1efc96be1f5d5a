"""From a failed call to the error that is raised for it. `error.proto` says what the details hold."""

from collections.abc import Mapping, Sequence

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from stageline.v1 import error_pb2
from stageline_sdk.errors import (
    AbortedError,
    AlreadyExistsError,
    ApiError,
    DeadlineExceededError,
    FailedPreconditionError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)

_DOMAIN = "stageline"
_DETAILS_KEY = "grpc-status-details-bin"
_REASON_PREFIX = "ERROR_REASON_"

_BY_CODE: Mapping[grpc.StatusCode, type[ApiError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.ABORTED: AbortedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.CANCELLED: AbortedError,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedError,
}

# The codes that error.proto gives the reasons, by the ranges of their numbers: (first, last, error).
_BY_REASON_NUMBER: Sequence[tuple[int, int, type[ApiError]]] = (
    (1, 1, UnauthenticatedError),
    (2, 2, PermissionDeniedError),
    (3, 4, UnavailableError),
    (5, 5, InternalError),
    (6, 6, UnsupportedError),
    (10, 19, NotFoundError),
    (20, 29, InvalidArgumentError),
    (30, 39, ResourceExhaustedError),
    (40, 40, AlreadyExistsError),
    (41, 41, AbortedError),
    (42, 45, FailedPreconditionError),
    (46, 46, PermissionDeniedError),
    (50, 51, AbortedError),
    (52, 52, FailedPreconditionError),
    (53, 53, DeadlineExceededError),
)


def api_error(failure: grpc.aio.AioRpcError, address: str) -> ApiError:
    """Return the error of a call that failed.

    Args:
        failure: What gRPC raised.
        address: The server's address, for messages.
    """
    kind = _BY_CODE.get(failure.code(), InternalError)
    details = _details_of(failure.trailing_metadata())
    info = error_details_pb2.ErrorInfo()
    fields = error_details_pb2.BadRequest()
    wait = error_details_pb2.RetryInfo()
    for detail in details:
        for message in (info, fields, wait):
            detail.Unpack(message)
    if info.domain != _DOMAIN:  # Not of a Stageline server: a proxy, another service, or nobody at all.
        return kind(_foreign_message(failure, address))
    return kind(
        failure.details() or info.reason,
        reason=info.reason,
        field_violations=[
            FieldViolation(violation.field, violation.description) for violation in fields.field_violations
        ],
        metadata=dict(info.metadata),
        retryable=True if wait.HasField("retry_delay") else None,
    )


def error_of_detail(detail: error_pb2.ErrorDetail) -> ApiError:
    """Return the error that the detail of one item describes. A reason that this SDK does not know is INTERNAL."""
    kind = next(
        (kind for first, last, kind in _BY_REASON_NUMBER if first <= detail.reason <= last), InternalError
    )
    return kind(
        detail.message,
        reason=reason_name(detail.reason),
        field_violations=[FieldViolation(each.field, each.description) for each in detail.violations],
        metadata=dict(detail.metadata),
    )


def reason_name(reason: error_pb2.ErrorReason.ValueType) -> str:
    """Return a reason's name without its prefix; INTERNAL for one that this SDK does not know."""
    known = reason in error_pb2.ErrorReason.values() and reason != error_pb2.ERROR_REASON_UNSPECIFIED
    return error_pb2.ErrorReason.Name(reason).removeprefix(_REASON_PREFIX) if known else "INTERNAL"


def _details_of(metadata: grpc.aio.Metadata | None) -> Sequence[AnyMessage]:
    for key, value in metadata or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
                return ()
    return ()


def _foreign_message(failure: grpc.aio.AioRpcError, address: str) -> str:
    said = failure.details() or failure.code().name
    if failure.code() is grpc.StatusCode.UNAVAILABLE:
        return (
            f"the server at {address} cannot be reached: {said}. "
            "Is it running, and is the address right? (`stageline dev` starts one; STAGELINE_ADDRESS names another.)"
        )
    if failure.code() is grpc.StatusCode.UNIMPLEMENTED:
        return f"the server at {address} does not have this call: {said}. Is it a Stageline server, and new enough?"
    return f"{said} ({failure.code().name}, from {address})"
