"""From a stage's outcome to the report that the server gets."""

from datetime import timedelta
from typing import Literal

from stageline.v1 import failure_pb2, payload_pb2, report_pb2
from stageline_sdk._job import Cancelled, Completed, NotReady, Outcome, StageFailure, WaitsOutside
from stageline_sdk._session_terms import Terms
from stageline_sdk._wire import to_duration

ReturnReason = Literal["DRAINING", "NO_FREE_SLOT", "UNKNOWN_JOB", "UNSPECIFIED"]

_RETURN_MESSAGE_LENGTH_MAX = 1024


def report_of(
    lease_token: bytes,
    outcome: Outcome,
    *,
    active_time: timedelta | None = None,
) -> report_pb2.Report | None:
    """Return the report of an outcome; None for work that was stopped before its end.

    Args:
        lease_token: The job's lease.
        outcome: How the stage's code ended.
        active_time: How long it ran.
    """
    if isinstance(outcome, Cancelled):
        return None
    report = report_pb2.Report(lease_token=lease_token, active_duration=to_duration(active_time))
    if isinstance(outcome, Completed):
        report.completed.output.json = outcome.output
    elif isinstance(outcome, WaitsOutside):
        report.suspended.state.json = outcome.state
        report.suspended.poll_policy.poll_interval.FromTimedelta(outcome.poll_interval)
        report.suspended.poll_policy.wait_max.FromTimedelta(outcome.max_wait)
        report.suspended.poll_policy.never_poll = outcome.never_poll
        if outcome.first_check is not None:
            report.suspended.poll_policy.first_check_delay.FromTimedelta(outcome.first_check)
        report.suspended.resume_conditions.extend(
            report_pb2.ResumeCondition(
                token_sha256=token.sha256,
                label=token.label,
                expire_after=to_duration(token.expire_after),
            )
            for token in outcome.tokens
        )
    elif isinstance(outcome, NotReady):
        _set_still_waiting(report.still_waiting, outcome)
    else:
        report.failed.error.CopyFrom(error_message(outcome))
    return report


def error_message(failure: StageFailure) -> failure_pb2.StageError:
    """Return a failure as a message."""
    return failure_pb2.StageError(
        kind=failure_pb2.FailureKind.Value(f"FAILURE_KIND_{failure.kind}"),
        type=failure.type,
        message=failure.message,
        stack_trace=failure.stack,
        retryable=failure.retryable,
        retry_after=to_duration(failure.retry_after),
    )


def returned(
    lease_token: bytes, reason: ReturnReason, message: str, *, started: bool = False
) -> report_pb2.Report:
    """Return the report that hands a job back.

    Args:
        lease_token: The job's lease.
        reason: Why.
        message: More about it, for people.
        started: Whether the stage's code had begun.
    """
    return report_pb2.Report(
        lease_token=lease_token,
        returned=report_pb2.Returned(
            reason=report_pb2.ReturnReason.Value(f"RETURN_REASON_{reason}"),
            message=message[:_RETURN_MESSAGE_LENGTH_MAX],
            started=started,
        ),
    )


def fitted_report(report: report_pb2.Report, terms: Terms) -> report_pb2.Report:
    """Return a report within the server's limits: what is too large becomes a failure that says so.

    A payload that the server would refuse must not travel: a frame that is too large ends the stream.
    """
    what, payload = payload_of(report)
    if payload is not None and len(payload.json) > terms.inline_payload_bytes_max:
        return _too_large(report, what, len(payload.json), terms.payload_bytes_max)
    size_bytes = report.ByteSize()
    limit = terms.frame_bytes_max - _FRAME_RESERVE_BYTES
    if size_bytes > limit:
        return _too_large(report, "report, with its annotations,", size_bytes, limit)
    return report


# What a frame holds besides one report.
_FRAME_RESERVE_BYTES = 256


def payload_size(report: report_pb2.Report) -> int:
    """Return the bytes of a report's payload; 0 where it has none."""
    _, payload = payload_of(report)
    return 0 if payload is None else len(payload.json)


def payload_of(report: report_pb2.Report) -> tuple[str, payload_pb2.Payload | None]:
    """Return what a report's payload is, for people, and the payload; None where it has none."""
    match report.WhichOneof("outcome"):
        case "completed":
            return "output", report.completed.output
        case "suspended":
            return "state of the suspension", report.suspended.state
        case "still_waiting":
            return "state of the suspension", report.still_waiting.state
    return "", None


def _too_large(report: report_pb2.Report, what: str, size_bytes: int, limit_bytes: int) -> report_pb2.Report:
    return report_pb2.Report(
        lease_token=report.lease_token,
        failed=report_pb2.Failed(
            error=failure_pb2.StageError(
                kind=failure_pb2.FAILURE_KIND_INVALID_OUTPUT,
                type="PAYLOAD_TOO_LARGE",
                message=f"the stage's {what} has {size_bytes:,} bytes; the limit is {limit_bytes:,}. "
                "Store large data elsewhere, and return where it is",
                retryable=False,
            )
        ),
        active_duration=report.active_duration if report.HasField("active_duration") else None,
    )


def _set_still_waiting(message: report_pb2.StillWaiting, outcome: NotReady) -> None:
    message.SetInParent()
    if outcome.next_check is not None:
        message.next_check_delay.FromTimedelta(outcome.next_check)
    if outcome.state is not None:
        message.state.json = outcome.state
