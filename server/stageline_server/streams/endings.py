"""Why streams end: the checks of the framing, and the closed list of endings."""

from collections.abc import Callable, Mapping

from stageline.v1 import error_pb2, session_pb2, worker_pb2
from stageline_engine import limits
from stageline_server.auth.grants import ENDED
from stageline_server.streams.items import Reason

DRAIN_MESSAGE = "The server shuts down; connect again."


class StreamEndedError(Exception):
    """The server ends the stream, for a reason of the closed list."""

    def __init__(
        self,
        reason: "session_pb2.DisconnectReason.ValueType",
        detail: error_pb2.ErrorDetail,
        *,
        reconnect: bool = True,
    ) -> None:
        """Takes what the worker is told in SessionEnd and in the stream's status."""
        super().__init__(detail.message)
        self.detail = detail
        self.item = session_pb2.SessionEnd(reason=reason, error=detail, reconnect=reconnect)

    @property
    def name(self) -> str:
        """The reason as it is counted and noted, without its prefix."""
        return session_pb2.DisconnectReason.Name(self.item.reason).removeprefix("DISCONNECT_REASON_")


def check_frame(frame: worker_pb2.WorkerFrame, expected: int, sent: int) -> None:
    """Checks the framing.

    Args:
        frame: A frame of the worker's.
        expected: The sequence that it must have.
        sent: Sequence of the last frame to the worker.

    Raises:
        StreamEndedError: The sequence does not follow, the frame acknowledges what was not sent, or it is over its limits.
    """
    if frame.sequence != expected:
        message = f"The frame has sequence {frame.sequence}, expected {expected}."
        raise invalid(message, expected, frame.sequence)
    if frame.acknowledged_sequence > sent:
        message = f"The frame acknowledges {frame.acknowledged_sequence}, but {sent} frames were sent."
        raise invalid(message, expected, frame.sequence)
    size, count = frame.ByteSize(), len(frame.items)
    if size > limits.FRAME_BYTES_MAX:
        facts = {"limit_bytes": str(limits.FRAME_BYTES_MAX), "actual_bytes": str(size)}
        message = f"The frame has {size} bytes, limit {limits.FRAME_BYTES_MAX}."
        detail = error_pb2.ErrorDetail(
            reason=Reason.ERROR_REASON_FRAME_TOO_LARGE, message=message, metadata=facts
        )
        raise StreamEndedError(session_pb2.DISCONNECT_REASON_FRAME_INVALID, detail)
    if count > limits.FRAME_ITEMS_MAX:
        message = f"The frame has {count} items, limit {limits.FRAME_ITEMS_MAX}."
        raise invalid(message, expected, frame.sequence)


def malformed(error: Exception) -> StreamEndedError:
    """The end of a stream whose frame is no message of the protocol."""
    detail = error_pb2.ErrorDetail(
        reason=Reason.ERROR_REASON_FRAME_INVALID, message=f"The frame cannot be read: {error}."
    )
    return StreamEndedError(session_pb2.DISCONNECT_REASON_FRAME_INVALID, detail)


def invalid(message: str, expected: int, actual: int) -> StreamEndedError:
    """The end of a stream whose framing is broken."""
    facts = {"expected_sequence": str(expected), "actual_sequence": str(actual)}
    detail = error_pb2.ErrorDetail(reason=Reason.ERROR_REASON_FRAME_INVALID, message=message, metadata=facts)
    return StreamEndedError(session_pb2.DISCONNECT_REASON_FRAME_INVALID, detail)


def timed_out() -> StreamEndedError:
    """The end of a stream on which the worker was silent for too long."""
    detail = error_pb2.ErrorDetail(
        reason=Reason.ERROR_REASON_SESSION_TIMED_OUT,
        message="Nothing was heard of the worker for the session timeout.",
    )
    return StreamEndedError(session_pb2.DISCONNECT_REASON_TIMED_OUT, detail)


def superseded() -> StreamEndedError:
    """The end of a stream whose session goes on with a newer one."""
    detail = error_pb2.ErrorDetail(
        reason=Reason.ERROR_REASON_SESSION_SUPERSEDED, message="The session goes on with a newer stream."
    )
    return StreamEndedError(session_pb2.DISCONNECT_REASON_SUPERSEDED, detail, reconnect=False)


def not_found() -> StreamEndedError:
    """The end of a stream whose session is over, or is served elsewhere."""
    detail = error_pb2.ErrorDetail(
        reason=Reason.ERROR_REASON_SESSION_NOT_FOUND,
        message="The session has ended or moved to another server.",
    )
    return StreamEndedError(session_pb2.DISCONNECT_REASON_TIMED_OUT, detail)


def shutdown() -> StreamEndedError:
    """The end of a stream, or of the attempt to open one, since the server ends."""
    detail = error_pb2.ErrorDetail(reason=Reason.ERROR_REASON_SHUTTING_DOWN, message=DRAIN_MESSAGE)
    return StreamEndedError(session_pb2.DISCONNECT_REASON_SERVER_SHUTDOWN, detail)


def slow_reader() -> StreamEndedError:
    """The end of a stream whose worker does not read what it is sent."""
    facts = {"limit_name": "outbox_bytes_max", "limit": str(limits.OUTBOX_BYTES_MAX)}
    detail = error_pb2.ErrorDetail(
        reason=Reason.ERROR_REASON_LIMIT_EXCEEDED,
        message="The worker does not read what it is sent: too much waits for it, or for too long.",
        metadata=facts,
    )
    return StreamEndedError(session_pb2.DISCONNECT_REASON_SLOW_READER, detail)


def unauthenticated() -> StreamEndedError:
    """The end of a stream whose worker's token does not count any more."""
    detail = error_pb2.ErrorDetail(reason=Reason.ERROR_REASON_UNAUTHENTICATED, message=ENDED)
    return StreamEndedError(session_pb2.DISCONNECT_REASON_UNAUTHENTICATED, detail, reconnect=False)


ENDS: Mapping[str, Callable[[], StreamEndedError]] = {
    "SESSION_SUPERSEDED": superseded,
    "SESSION_NOT_FOUND": not_found,
    "SERVER_SHUTDOWN": shutdown,
    "SLOW_READER": slow_reader,
    "UNAUTHENTICATED": unauthenticated,
}
"""Endings that the plane may ask for, by the names that it knows."""
