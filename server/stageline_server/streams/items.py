"""Pure translation of the items of worker frames to commands, and of commands' results and offers to items."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from stageline.v1 import error_pb2, job_pb2, payload_pb2, report_pb2, run_pb2, worker_pb2
from stageline_engine import limits, payloads
from stageline_engine.commands import (
    Completed,
    Disposition,
    Failed,
    JobOffer,
    JobReportRecorded,
    LeaseReference,
    Outcome,
    ReportJob,
    ReportProgress,
    Returned,
    StillWaiting,
    SuspendCondition,
    Suspended,
)
from stageline_engine.events import Annotation, StageError
from stageline_engine.model.ai_call import AiCall
from stageline_engine.model.job import JobKind
from stageline_engine.ports import LogLine
from stageline_engine.rejections import Rejection
from stageline_server.mapping.failures import cut, timedelta_of, to_failure
from stageline_server.mapping.payloads import payload_fault, payload_message, payload_of
from stageline_server.mapping.submissions import known_submission_message
from stageline_server.streams.tokens import LeaseToken, encode_token

Reason = error_pb2.ErrorReason

METRICS_MAX = 100
METRIC_NAME_LENGTH_MAX = 127
"""Metrics of one report and the length of a name, as the protocol says; those beyond are left out."""

LOG_ENTRIES_PER_BATCH_MAX = 1000
"""Lines in one batch, as the protocol says: dealing with one never holds up other items for long."""

SHA256_BYTES = 32

OUTPUT_OVERHEAD_BYTES = 24
"""Tags and lengths of one output in an offer."""

OFFER_BYTES_MAX = limits.FRAME_BYTES_MAX - 1024
"""One offer: it must go into a frame, with room for what is around it."""

_DISPOSITIONS = {
    Disposition.RECORDED: report_pb2.REPORT_DISPOSITION_RECORDED,
    Disposition.ALREADY_RECORDED: report_pb2.REPORT_DISPOSITION_ALREADY_RECORDED,
    Disposition.SUPERSEDED: report_pb2.REPORT_DISPOSITION_SUPERSEDED,
    Disposition.RUN_ENDED: report_pb2.REPORT_DISPOSITION_RUN_ENDED,
}


class BadItemError(Exception):
    """An item breaks a rule. It is refused; the stream goes on."""

    def __init__(
        self, reason: "Reason.ValueType", message: str, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Takes what the worker is told."""
        super().__init__(message)
        self.detail = error_pb2.ErrorDetail(
            reason=reason,
            message=cut(message, limits.LOG_MESSAGE_LENGTH_MAX),
            metadata={
                key: cut(value, limits.ERROR_MESSAGE_LENGTH_MAX) for key, value in (metadata or {}).items()
            },
        )


class ForbiddenOutcome(Failed):
    """A final failure in the place of an outcome that the job does not allow: the report is answered, the run goes on."""


def to_outcome(report: report_pb2.Report) -> Outcome:
    """Translates the outcome of a report; one that this job does not allow becomes a ``ForbiddenOutcome``."""
    match report.WhichOneof("outcome"):
        case "completed":
            return _completed(report)
        case "failed":
            return to_failure(report.failed.error)
        case "returned":
            return Returned(started=report.returned.started)
        case "suspended":
            return _suspended(report.suspended)
        case "still_waiting":
            return _still_waiting(report.still_waiting)
        case _:
            return _forbidden("The report has no outcome that this server knows.")


def _completed(report: report_pb2.Report) -> Outcome:
    output = report.completed.output
    if output.WhichOneof("body") is None:
        return Completed(b"", _metrics(report.metrics))  # no JSON text, as the engine says
    fault = payload_fault(output, "output")
    return (
        _forbidden(str(fault)) if fault else Completed(payload_of(output, "output"), _metrics(report.metrics))
    )


def _suspended(message: report_pb2.Suspended) -> Outcome:
    policy = message.poll_policy
    fault = _state_fault(message.state) or _conditions_fault(message)
    if fault:
        return _forbidden(fault)
    return Suspended(
        state=_state(message.state) or b"{}",
        poll_interval=_optional_time(policy, "poll_interval"),
        wait_max=_optional_time(policy, "wait_max"),
        first_check_delay=_optional_time(policy, "first_check_delay"),
        never_poll=policy.never_poll,
        conditions=tuple(
            SuspendCondition(
                condition.token_sha256,
                cut(condition.label, limits.LABEL_VALUE_LENGTH_MAX),
                _optional_time(condition, "expire_after"),
            )
            for condition in message.resume_conditions
        ),
    )


def _still_waiting(message: report_pb2.StillWaiting) -> Outcome:
    fault = _state_fault(message.state)
    if fault:
        return _forbidden(fault)
    return StillWaiting(_optional_time(message, "next_check_delay"), _state(message.state))


def _state_fault(state: payload_pb2.Payload) -> str:
    """What is wrong with the state that a stage leaves for its checks; empty where nothing is."""
    if state.WhichOneof("body") is None:
        return ""
    fault = payload_fault(state, "state")
    if fault is not None or state.WhichOneof("body") == "reference":
        return str(fault or "")
    parsed = payloads.parse(state.json, "state")
    return parsed.message if isinstance(parsed, Rejection) else ""


def _state(state: payload_pb2.Payload) -> bytes | None:
    """The state that a stage leaves for its checks, after ``_state_fault``; None where it leaves none."""
    return payload_of(state, "state") if state.WhichOneof("body") else None


def _conditions_fault(message: report_pb2.Suspended) -> str:
    conditions = message.resume_conditions
    if len(conditions) > limits.RESUME_CONDITIONS_MAX:
        return f"{len(conditions)} resume conditions, limit {limits.RESUME_CONDITIONS_MAX}."
    if any(len(condition.token_sha256) != SHA256_BYTES for condition in conditions):
        return f"A resume condition needs token_sha256 of {SHA256_BYTES} bytes."
    if len({condition.token_sha256 for condition in conditions}) < len(conditions):
        return "Two resume conditions have the same token_sha256."
    if message.poll_policy.never_poll and not conditions:
        return "never_poll needs a resume condition: nothing else could end the wait in time."
    return ""


def _optional_time(message: Message, field: str) -> timedelta | None:
    return timedelta_of(getattr(message, field), limits.WAIT_MAX) if message.HasField(field) else None


def _metrics(given: Mapping[str, float]) -> dict[str, float]:
    """As many metrics as are kept; what is over a limit is no reason to lose the output."""
    finite = sorted((name, value) for name, value in given.items() if math.isfinite(value))
    return {cut(name, METRIC_NAME_LENGTH_MAX): value for name, value in finite[:METRICS_MAX]}


def _forbidden(message: str) -> ForbiddenOutcome:
    return ForbiddenOutcome(StageError("INVALID_OUTPUT", message), retryable=False)


def some_ids(ids: Iterable[str]) -> str:
    """Ids for the metadata of an error, few enough for a person to read and for gRPC to carry."""
    return cut(",".join(list(ids)[:50]), 1024)


def to_report(
    namespace: str,
    token: LeaseToken,
    report: report_pb2.Report,
    annotations: tuple[Annotation, ...] = (),
    ai_calls: tuple[AiCall, ...] = (),
) -> ReportJob:
    """Translates a report; its annotations and AI calls are translated by themselves."""
    outcome = to_outcome(report)
    return ReportJob(
        namespace, token.run_id, token.stage_number, token.secret, outcome, annotations, ai_calls
    )


def to_progress(namespace: str, token: LeaseToken, progress: run_pb2.StageProgress) -> ReportProgress:
    """Translates progress.

    Raises:
        BadItemError: The fraction is not from 0 to 1, or the details are not a JSON object.
    """
    fraction = progress.fraction if progress.HasField("fraction") else None
    if fraction is not None and not 0 <= fraction <= 1:
        message = f"progress.fraction must be from 0 to 1, but is {fraction}."
        raise BadItemError(
            Reason.ERROR_REASON_INVALID_FIELD, message, {"field": "fraction", "actual": str(fraction)}
        )
    text = cut(progress.message, limits.PROGRESS_MESSAGE_LENGTH_MAX)
    details = json_object(progress.details, "details")
    return ReportProgress(namespace, token.run_id, token.stage_number, token.secret, fraction, text, details)


def json_object(text: bytes, field: str, bytes_max: int = limits.LOG_MESSAGE_LENGTH_MAX) -> dict[str, Any]:
    """Parses a small JSON object; empty bytes mean an empty one.

    Raises:
        BadItemError: It is too large or not a JSON object.
    """
    if not text:
        return {}
    if len(text) > bytes_max:
        facts = {"field": field, "limit_bytes": str(bytes_max), "actual_bytes": str(len(text))}
        raise BadItemError(
            Reason.ERROR_REASON_PAYLOAD_TOO_LARGE, f"{field} has {len(text)} bytes, limit {bytes_max}.", facts
        )
    try:
        value = orjson.loads(text)
        orjson.dumps(value)  # what nests too deeply can be read, and yet not be written again
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise BadItemError(
            Reason.ERROR_REASON_MALFORMED_JSON, f"{field}: {error}", {"field": field}
        ) from None
    if not isinstance(value, dict) or b"\\u0000" in text:
        message = f"{field} must be a JSON object without U+0000."
        raise BadItemError(Reason.ERROR_REASON_INVALID_FIELD, message, {"field": field})
    return value


def to_log_lines(
    token: LeaseToken, generation: int, attempt: int, batch: worker_pb2.LogBatch, now: datetime
) -> list[LogLine]:
    """Translates log lines of an attempt. What cannot be kept as it is, is kept as well as can be: logs are best effort.

    Raises:
        BadItemError: There are too many.
    """
    if len(batch.entries) > LOG_ENTRIES_PER_BATCH_MAX:
        limit, actual = str(LOG_ENTRIES_PER_BATCH_MAX), str(len(batch.entries))
        facts = {"limit_name": "log_entries_per_batch_max", "limit": limit, "actual": actual}
        message = f"A batch has at most {limit} log entries, but has {actual}."
        raise BadItemError(Reason.ERROR_REASON_LIMIT_EXCEEDED, message, facts)
    lines = [_log_line(token, attempt, entry, now) for entry in batch.entries]
    if batch.dropped_count > 0:
        message = f"{batch.dropped_count} lines were dropped by the worker: over the limit of lines a second."
        lines.insert(0, LogLine(token.run_id, token.stage_number, attempt, "WARNING", message, {}, now))
    return [replace(line, generation=generation) for line in lines]


def _log_line(token: LeaseToken, attempt: int, entry: run_pb2.LogEntry, now: datetime) -> LogLine:
    try:
        metadata = json_object(entry.fields, "fields")
    except BadItemError as error:
        metadata = {"stageline.note": str(error)}
    known = entry.level and entry.level in run_pb2.LogLevel.values()
    level = run_pb2.LogLevel.Name(entry.level).removeprefix("LOG_LEVEL_") if known else "INFO"
    message = cut(entry.message, limits.LOG_MESSAGE_LENGTH_MAX)
    return LogLine(
        token.run_id, token.stage_number, attempt, level, message, metadata, _logged_at(entry, now)
    )


def _logged_at(entry: run_pb2.LogEntry, now: datetime) -> datetime:
    """When a line was logged by the worker's clock; now where that is no time."""
    if not entry.HasField("log_time"):
        return now
    try:
        return entry.log_time.ToDatetime(now.tzinfo)
    except (ValueError, OverflowError):
        return now


def offer_item(offer: JobOffer) -> worker_pb2.ServerItem:
    """The item that hands a leased job to its worker."""
    message = job_pb2.JobOffer(
        lease_token=encode_token(offer.lease),
        run_id=str(offer.lease.run_id),
        workflow_name=offer.workflow_name,
        workflow_version=offer.workflow_version,
        stage_id=offer.stage_id,
        kind=job_pb2.JobKind.Value(f"JOB_KIND_{offer.kind}"),
        generation=offer.generation,
        attempt=offer.attempt,
        delivery=offer.delivery,
        priority=offer.priority,
        config=payload_pb2.Payload(json=offer.config.encode()),
        input_stage_ids=offer.input_stage_ids,
        completed_stage_ids=offer.completed_stage_ids,
        stage_number=offer.lease.stage_number,
        submissions=map(known_submission_message, offer.submissions),
    )
    if offer.run_input is not None:
        message.run_input.CopyFrom(payload_message(offer.run_input))
    if offer.start_to_close is not None:
        message.start_to_close.CopyFrom(duration(offer.start_to_close))
    if offer.heartbeat is not None and offer.kind is JobKind.EXECUTE:
        message.heartbeat_timeout.CopyFrom(duration(offer.heartbeat))
    if offer.suspended_state is not None:
        message.suspended_state.CopyFrom(payload_message(offer.suspended_state))
    _add_outputs(message, offer.outputs)
    return worker_pb2.ServerItem(offer=message)


def _add_outputs(message: job_pb2.JobOffer, outputs: Mapping[str, str]) -> None:
    """Adds outputs as long as the offer still goes into a frame; its worker fetches the others."""
    room = OFFER_BYTES_MAX - message.ByteSize()
    for stage_id, text in outputs.items():
        output = payload_message(text)
        room -= output.ByteSize() + len(stage_id.encode()) + OUTPUT_OVERHEAD_BYTES
        if room < 0:
            return
        message.outputs[stage_id].CopyFrom(output)


def acknowledgement_item(token: bytes, recorded: JobReportRecorded) -> worker_pb2.ServerItem:
    """The item that answers a report after its commit."""
    message = report_pb2.ReportAcknowledgement(
        lease_token=token, disposition=_DISPOSITIONS[recorded.disposition]
    )
    if recorded.note:
        message.disposition = report_pb2.REPORT_DISPOSITION_REFUSED
        message.error.reason = Reason.ERROR_REASON_INVALID_OUTPUT
        message.error.message = cut(recorded.note, limits.LOG_MESSAGE_LENGTH_MAX)
    return worker_pb2.ServerItem(report_acknowledgement=message)


def annotated_item(annotation_ids: Iterable[str]) -> worker_pb2.ServerItem:
    """The item that says that annotations are committed."""
    return worker_pb2.ServerItem(
        record_acknowledgement=worker_pb2.RecordAcknowledgement(annotation_ids=annotation_ids)
    )


def stop_item(lease: LeaseReference, reason: "worker_pb2.StopReason.ValueType") -> worker_pb2.ServerItem:
    """The item that tells a worker to stop a job."""
    directive = worker_pb2.Directive(
        lease_token=encode_token(lease), action=worker_pb2.DIRECTIVE_ACTION_STOP, reason=reason
    )
    return worker_pb2.ServerItem(directive=directive)


def duration(value: timedelta) -> Duration:
    """A duration message."""
    message = Duration()
    message.FromTimedelta(value)
    return message
