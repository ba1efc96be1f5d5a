"""From an exception to what is reported of it."""

import traceback
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from stageline_sdk._job import Cancelled, FailureKind, StageFailure
from stageline_sdk._limits import ERROR_TYPE_LENGTH_MAX, FAILURE_MESSAGE_BYTES_MAX, FAILURE_STACK_BYTES_MAX
from stageline_sdk._payload import clean_text
from stageline_sdk._violations import violations_of
from stageline_sdk.cancellation import CancelSignal
from stageline_sdk.errors import (
    ApiError,
    MissingOutputError,
    NonRetryableError,
    RetryableError,
    StageCancelledError,
)

_SDK_FOLDER = str(Path(__file__).parent)
_CUT = "… (cut)"


def outcome_of_error(error: BaseException, cancelled: CancelSignal) -> StageFailure | Cancelled:
    """Return what an exception that left a stage's code means.

    Args:
        error: What was raised. `ValidationError` is an error like any other here: the stage may have validated, say,
            the answer of a model, and a retry may help.
        cancelled: The signal of the attempt. Once it is set, errors are taken for the way the stage stopped.
    """
    if cancelled.is_set() and isinstance(error, StageCancelledError):
        return Cancelled(cancelled.reason)
    return StageFailure(
        kind="APPLICATION",
        type=error_type(error),
        message=_cut(_message_of(error), FAILURE_MESSAGE_BYTES_MAX),
        stack=_cut_head(_stack_of(error), FAILURE_STACK_BYTES_MAX),
        retryable=_retryable(error),
        retry_after=error.retry_after if isinstance(error, RetryableError) else None,
        exception=error,
    )


def refused_value(kind: FailureKind, what: str, type_name: str, error: Exception) -> StageFailure:
    """Return the failure of a value that its declared type refuses. It is final: the next attempt has the same value.

    Args:
        kind: INVALID_INPUT, INVALID_CONFIG or INVALID_OUTPUT.
        what: The value in words, such as `output`.
        type_name: The declared type.
        error: Why it was refused.
    """
    if isinstance(error, ValidationError):
        reasons = "; ".join(str(violation) for violation in violations_of(error, prefix=""))
    else:
        reasons = _message_of(error)
    return StageFailure(
        kind=kind,
        type=error_type(error),
        message=_cut(f"the {what} does not fit {type_name}: {reasons}", FAILURE_MESSAGE_BYTES_MAX),
        retryable=False,
        exception=error,
    )


def final_failure(kind: FailureKind, type: str, message: str) -> StageFailure:  # noqa: A002 - the field's name
    """Return a failure that no retry can heal."""
    return StageFailure(
        kind=kind, type=type, message=_cut(message, FAILURE_MESSAGE_BYTES_MAX), retryable=False
    )


def error_type(error: BaseException) -> str:
    """Return the name of an error's class: bare for Python's own, else with its module, as `httpx.ConnectTimeout`. Cut at 255."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name[:ERROR_TYPE_LENGTH_MAX]


def _retryable(error: BaseException) -> bool | None:
    if isinstance(error, NonRetryableError | MissingOutputError):
        return False
    if isinstance(error, RetryableError):
        return True
    if isinstance(error, ApiError) and not error.retryable:
        return False
    return None


def _message_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything, and the failure must be told all the same
        text = ""
    return clean_text(text) or error_type(error)


def _stack_of(error: BaseException) -> str:
    """Return the stack trace, without the frames of this package that lead to the stage's code."""
    try:
        lines = traceback.format_exception(type(error), error, _below_sdk(error.__traceback__))
    except Exception:  # noqa: BLE001 - as in _message_of
        return ""
    return clean_text("".join(lines))


def _below_sdk(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_SDK_FOLDER):
        frames = frames.tb_next
    return frames


def _cut(text: str, bytes_max: int) -> str:
    """Return the beginning of a text, within so many bytes."""
    encoded = text.encode()
    if len(encoded) <= bytes_max:
        return text
    return encoded[: bytes_max - len(_CUT.encode())].decode(errors="ignore") + _CUT


def _cut_head(text: str, bytes_max: int) -> str:
    """Return the end of a text, within so many bytes: a stack trace ends with what matters most."""
    encoded = text.encode()
    if len(encoded) <= bytes_max:
        return text
    return _CUT + encoded[len(encoded) - bytes_max + len(_CUT.encode()) :].decode(errors="ignore")
