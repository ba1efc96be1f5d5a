"""How a refusal reaches the caller: one table from reason to status, and one place where exceptions become answers.

The reasons are those of ``stageline.v1.ErrorReason``; what a caller gets is described in ``error.proto``.
"""

import contextlib
import functools
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NoReturn, ParamSpec, TypeVar
from uuid import uuid4

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from stageline.v1 import error_pb2
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.rejections import FieldViolation, Rejection

_log = logging.getLogger(__name__)

DOMAIN = "stageline"
DETAILS_KEY = "grpc-status-details-bin"

DETAILS_BYTES_MAX = 4 * 1024
MESSAGE_LENGTH_MAX = 800
"""Trailers of one answer: gRPC clients drop an answer whose headers are over 8 KiB. Violations beyond are left out."""


@dataclass(frozen=True, slots=True)
class StatusRule:
    """What a reason means on the wire.

    Attributes:
        code: The gRPC code.
        retry_delay: How long a client should wait before it tries the same again; None: trying again does not help.
    """

    code: grpc.StatusCode
    retry_delay: timedelta | None = None


_INVALID = StatusRule(grpc.StatusCode.INVALID_ARGUMENT)
_NOT_FOUND = StatusRule(grpc.StatusCode.NOT_FOUND)
_EXHAUSTED = StatusRule(grpc.StatusCode.RESOURCE_EXHAUSTED)
_PRECONDITION = StatusRule(grpc.StatusCode.FAILED_PRECONDITION)
_DENIED = StatusRule(grpc.StatusCode.PERMISSION_DENIED)
_INTERNAL = StatusRule(grpc.StatusCode.INTERNAL)

STATUS_BY_REASON: Mapping[str, StatusRule] = {
    "UNAUTHENTICATED": StatusRule(grpc.StatusCode.UNAUTHENTICATED),
    "PERMISSION_DENIED": _DENIED,
    "UNAVAILABLE": StatusRule(grpc.StatusCode.UNAVAILABLE, timedelta(seconds=1)),
    "SHUTTING_DOWN": StatusRule(grpc.StatusCode.UNAVAILABLE, timedelta(0)),
    "INTERNAL": _INTERNAL,
    "METHOD_NOT_SERVED": StatusRule(grpc.StatusCode.UNIMPLEMENTED),
    "NAMESPACE_NOT_FOUND": _NOT_FOUND,
    "WORKFLOW_NOT_FOUND": _NOT_FOUND,
    "WORKFLOW_VERSION_NOT_FOUND": _NOT_FOUND,
    "STAGE_NOT_FOUND": _NOT_FOUND,
    "RUN_NOT_FOUND": _NOT_FOUND,
    "SESSION_NOT_FOUND": _NOT_FOUND,
    "ARTIFACT_NOT_FOUND": _NOT_FOUND,
    "PAYLOAD_NOT_FOUND": _NOT_FOUND,
    "DEAD_LETTER_NOT_FOUND": _NOT_FOUND,
    "TOKEN_NOT_FOUND": _NOT_FOUND,
    "INVALID_FIELD": _INVALID,
    "MALFORMED_JSON": _INVALID,
    "INVALID_INPUT": _INVALID,
    "INVALID_CONFIG": _INVALID,
    "INVALID_OUTPUT": _INVALID,
    "INVALID_DEFINITION": _INVALID,
    "PAGE_TOKEN_INVALID": _INVALID,
    "CURSOR_INVALID": _INVALID,
    "PAYLOAD_MISMATCH": _INVALID,
    "FRAME_INVALID": _INVALID,
    "PAYLOAD_TOO_LARGE": _EXHAUSTED,
    "FRAME_TOO_LARGE": _EXHAUSTED,
    "LIMIT_EXCEEDED": _EXHAUSTED,
    "REQUEST_ID_REUSED": StatusRule(grpc.StatusCode.ALREADY_EXISTS),
    "REQUEST_IN_PROGRESS": StatusRule(grpc.StatusCode.ABORTED, timedelta(milliseconds=100)),
    "RUN_NOT_CANCELLABLE": _PRECONDITION,
    "RUN_NOT_RERUNNABLE": _PRECONDITION,
    "PREDECESSORS_INCOMPLETE": _PRECONDITION,
    "STAGE_NOT_SUSPENDED": _PRECONDITION,
    "RESUME_TOKEN_INVALID": _DENIED,
    "SESSION_SUPERSEDED": StatusRule(grpc.StatusCode.ABORTED),
    "LEASE_SUPERSEDED": StatusRule(grpc.StatusCode.ABORTED),
    "PROTOCOL_VERSION_UNSUPPORTED": _PRECONDITION,
    "SESSION_TIMED_OUT": StatusRule(grpc.StatusCode.DEADLINE_EXCEEDED),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal on its way to the caller: the engine's ``Rejection``, or the server's own.

    Attributes:
        reason: A key of ``STATUS_BY_REASON``.
        message: For people.
        metadata: The keys that the reason's comment in ``error.proto`` names.
        violations: The fields at fault.
    """

    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()

    @classmethod
    def of(cls, rejection: Rejection) -> "Refusal":
        """The refusal that tells of the engine's rejection."""
        return cls(rejection.reason.value, rejection.message, rejection.metadata, rejection.violations)

    @property
    def full_metadata(self) -> Mapping[str, str]:
        """The metadata with what follows from the violations."""
        if not self.violations:
            return self.metadata
        implied = {"field": self.violations[0].field, "violation_count": str(len(self.violations))}
        return implied | dict(self.metadata)


class RefusedError(Exception):
    """Ends an RPC with a refusal. Services raise it; ``answering`` and ``streaming`` turn it into a status."""

    def __init__(self, refusal: Refusal | Rejection) -> None:
        self.refusal = refusal if isinstance(refusal, Refusal) else Refusal.of(refusal)
        super().__init__(self.refusal.message)


Result = TypeVar("Result")


def accepted(result: Result | Rejection) -> Result:
    """Returns a command's result.

    Raises:
        RefusedError: The command was rejected.
    """
    if isinstance(result, Rejection):
        raise RefusedError(result)
    return result


def invalid_field(name: str, description: str) -> RefusedError:
    """The error of one field that breaks the rule of its comment."""
    violation = FieldViolation(name, description)
    return RefusedError(Refusal("INVALID_FIELD", f"{name} {description}.", {}, (violation,)))


def refusal_of(error: Exception) -> Refusal:
    """What the caller is told of an exception. One that nobody foresaw is logged, and its text is kept from the caller."""
    if isinstance(error, RefusedError):
        return error.refusal
    if isinstance(error, StorageUnavailableError):
        _log.warning("a request could not be served: %s", error)
        return Refusal(
            "UNAVAILABLE",
            "The server cannot reach its database, or its store of large bytes. Try again with the same request id.",
        )
    error_id = uuid4().hex
    _log.error("a request failed, error_id=%s", error_id, exc_info=error)
    message = f"A fault of the server. Its log has the details under error_id {error_id}."
    return Refusal("INTERNAL", message, {"error_id": error_id})


def error_detail(refusal: Refusal | Rejection) -> error_pb2.ErrorDetail:
    """The refusal of one item of many, inside a response or a stream."""
    told = refusal if isinstance(refusal, Refusal) else Refusal.of(refusal)
    return error_pb2.ErrorDetail(
        reason=error_pb2.ErrorReason.Value(f"ERROR_REASON_{told.reason}"),
        message=told.message,
        violations=[
            error_pb2.FieldViolation(field=item.field, description=item.description)
            for item in told.violations
        ],
        metadata=dict(told.full_metadata),
    )


def status_of(refusal: Refusal) -> Status:
    """The rich status of a refusal, with as many violations as the trailers can carry."""
    message = refusal.message
    if len(message) > MESSAGE_LENGTH_MAX:
        message = f"{message[: MESSAGE_LENGTH_MAX - 1]}…"
    told = len(refusal.violations)
    while True:
        status = _status(refusal, message, told)
        if told <= 1 or status.ByteSize() <= DETAILS_BYTES_MAX:
            return status
        told -= max(1, told // 4)


def _status(refusal: Refusal, message: str, told: int) -> Status:
    rule = STATUS_BY_REASON.get(refusal.reason, _INTERNAL)
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=refusal.reason, domain=DOMAIN, metadata=dict(refusal.full_metadata)
        )
    ]
    if told:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=item.field, description=item.description)
            for item in refusal.violations[:told]
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if rule.retry_delay is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(rule.retry_delay)
        details.append(retry)
    return Status(code=rule.code.value[0], message=message, details=[_packed(detail) for detail in details])


def _packed(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed


async def abort(context: grpc.aio.ServicerContext[Any, Any], refusal: Refusal | Rejection) -> NoReturn:
    """Ends an RPC with the status of a refusal.

    Raises:
        grpc.aio.AbortError: Always.
    """
    told = refusal if isinstance(refusal, Refusal) else Refusal.of(refusal)
    status = status_of(told)
    code = STATUS_BY_REASON.get(told.reason, _INTERNAL).code
    await context.abort(code, status.message, ((DETAILS_KEY, status.SerializeToString()),))
    raise AssertionError("unreachable")


Parameters = ParamSpec("Parameters")
Response = TypeVar("Response")


def answering(
    method: Callable[Parameters, Awaitable[Response]],
) -> Callable[Parameters, Awaitable[Response]]:
    """Wraps a unary method of a servicer: whatever it raises becomes the status that ``error.proto`` promises."""

    @functools.wraps(method)
    async def answer(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Response:
        try:
            return await method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the one place where any exception becomes an answer
            await abort(_context(args), refusal_of(error))

    return answer


def streaming(
    method: Callable[Parameters, AsyncGenerator[Response, None]],
) -> Callable[Parameters, AsyncGenerator[Response, None]]:
    """Wraps a method of a servicer that answers with a stream; as ``answering``."""

    @functools.wraps(method)
    async def answer(*args: Parameters.args, **kwargs: Parameters.kwargs) -> AsyncGenerator[Response, None]:
        try:
            async with contextlib.aclosing(method(*args, **kwargs)) as responses:
                async for response in responses:
                    yield response
        except Exception as error:  # noqa: BLE001 - as above
            await abort(_context(args), refusal_of(error))

    return answer


def _context(args: tuple[Any, ...]) -> grpc.aio.ServicerContext[Any, Any]:
    """The context among a servicer method's arguments: self, request, context."""
    context: grpc.aio.ServicerContext[Any, Any] = args[2]
    return context
