"""Messages of the server's side, with good defaults."""

import json
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from stageline.v1 import job_pb2, limits_pb2, payload_pb2, report_pb2, session_pb2, worker_pb2
from stageline_conformance.violations import ViolationError, expect_equal

WORKFLOW = "conformance"
VERSION = 7
"""The version that the scripted server gives the workflow: not 1, so that a worker which does not listen is found."""

DIGEST = bytes(range(32))

LIMITS = limits_pb2.Limits(
    frame_bytes_max=1024 * 1024,
    inline_payload_bytes_max=128 * 1024,
    payload_bytes_max=64 * 1024 * 1024,
    log_message_bytes_max=16 * 1024,
    log_entries_per_second_max=1000,
    frame_items_max=1000,
)
"""The limits that Welcome tells unless a case says otherwise: the defaults of `limits.proto`."""

KEEP = session_pb2.LEASE_VERDICT_KEEP
DROP = session_pb2.LEASE_VERDICT_DROP
ALREADY_RECORDED = session_pb2.LEASE_VERDICT_ALREADY_RECORDED
RECORDED = report_pb2.REPORT_DISPOSITION_RECORDED


def duration(value: timedelta) -> Duration:
    """Return a duration as a message."""
    message = Duration()
    message.FromTimedelta(value)
    return message


def milliseconds(value: float) -> timedelta:
    """Return so many milliseconds."""
    return timedelta(milliseconds=value)


def payload(value: Any) -> payload_pb2.Payload:
    """Return a JSON value as a payload, with every character as it is."""
    return payload_pb2.Payload(json=json.dumps(value, ensure_ascii=False).encode())


def value_of(message: payload_pb2.Payload) -> Any:
    """Return the JSON value of a payload that holds it.

    Raises:
        ViolationError: It holds none, or no JSON text.
    """
    expect_equal(message.WhichOneof("body"), "json", "the payload's body")
    try:
        return json.loads(message.json)
    except ValueError as error:
        raise ViolationError(f"the payload is no JSON text: {error}") from error


def an_offer(stage_id: str, *, number: int, run_input: Any = None, **fields: Any) -> job_pb2.JobOffer:
    """Return an offer of an execute job of the first group.

    Args:
        stage_id: The stage.
        number: Makes its lease and run unlike any other.
        run_input: The run's input.
        **fields: Fields of JobOffer, in place of the defaults.
    """
    defaults: dict[str, Any] = {
        "lease_token": f"lease-{number}".encode(),
        "run_id": f"run-{number}",
        "workflow_name": WORKFLOW,
        "workflow_version": VERSION,
        "kind": job_pb2.JOB_KIND_EXECUTE,
        "generation": 1,
        "attempt": 1,
        "delivery": 1,
        "config": payload({}),
        "stage_number": 1,
    }
    if "input_stage_ids" not in fields and fields.get("kind") != job_pb2.JOB_KIND_CHECK:
        defaults["run_input"] = payload(run_input)
    return job_pb2.JobOffer(stage_id=stage_id, **{**defaults, **fields})


def acknowledgement(
    lease_token: bytes,
    disposition: "report_pb2.ReportDisposition.ValueType" = report_pb2.REPORT_DISPOSITION_RECORDED,
) -> report_pb2.ReportAcknowledgement:
    """Return the answer to a report."""
    return report_pb2.ReportAcknowledgement(lease_token=lease_token, disposition=disposition)


def verdict(lease_token: bytes, value: "session_pb2.LeaseVerdict.ValueType") -> session_pb2.HeldLeaseVerdict:
    """Return the answer to a held lease."""
    return session_pb2.HeldLeaseVerdict(lease_token=lease_token, verdict=value)


def stop(
    lease_token: bytes,
    reason: "worker_pb2.StopReason.ValueType" = worker_pb2.STOP_REASON_RUN_ENDED,
    deadline: timedelta = timedelta(seconds=5),
) -> worker_pb2.Directive:
    """Return the directive that stops a job."""
    return worker_pb2.Directive(
        lease_token=lease_token,
        action=worker_pb2.DIRECTIVE_ACTION_STOP,
        reason=reason,
        deadline=duration(deadline),
        message="told by the conformance suite",
    )


def ending(
    reason: "session_pb2.DisconnectReason.ValueType" = session_pb2.DISCONNECT_REASON_STREAM_AGE,
    *,
    reconnect: bool = True,
    reconnect_after: timedelta | None = None,
) -> session_pb2.SessionEnd:
    """Return the server's last word on a stream."""
    return session_pb2.SessionEnd(
        reason=reason,
        reconnect=reconnect,
        reconnect_after=None if reconnect_after is None else duration(reconnect_after),
    )
