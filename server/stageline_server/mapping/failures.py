"""Failures of stages from their messages, and the texts and times in them, made fit to be stored."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from stageline.v1 import failure_pb2
from stageline_engine import limits
from stageline_engine.commands import Failed
from stageline_engine.events import StageError

_FINAL_KINDS = {
    failure_pb2.FAILURE_KIND_INVALID_INPUT,
    failure_pb2.FAILURE_KIND_INVALID_CONFIG,
    failure_pb2.FAILURE_KIND_INVALID_OUTPUT,
}


def to_failure(error: failure_pb2.StageError) -> Failed:
    """Translates a failure; texts over their limit are cut and say so."""
    known = error.kind in failure_pb2.FailureKind.values()
    kind = failure_pb2.FailureKind.Name(error.kind).removeprefix("FAILURE_KIND_") if known else "UNKNOWN"
    retryable = error.retryable if error.HasField("retryable") else None
    return Failed(
        StageError(
            cut(error.type, limits.NAME_LENGTH_MAX) or kind,
            cut(error.message, limits.ERROR_MESSAGE_LENGTH_MAX),
            cut(error.stack_trace, limits.ERROR_STACK_LENGTH_MAX),
        ),
        retryable=False if error.kind in _FINAL_KINDS else retryable,
        retry_after=timedelta_of(error.retry_after) if error.HasField("retry_after") else None,
    )


def timedelta_of(value: Duration, longest: timedelta = limits.RETRY_BACKOFF_MAX) -> timedelta:
    """A duration; one that no timedelta can hold becomes the longest that it may be."""
    try:
        return value.ToTimedelta()
    except (ValueError, OverflowError):
        return longest if value.seconds > 0 else timedelta()


def cut(text: str, length_max: int) -> str:
    """A text that can be stored: without U+0000, which Postgres refuses, and no longer than allowed."""
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if len(text) <= length_max else f"{text[: length_max - 1]}…"
