"""Offers and answers, with good defaults."""

import json
from typing import Any

from stageline.v1 import job_pb2, payload_pb2, report_pb2


def payload(value: Any) -> payload_pb2.Payload:
    """Return a JSON value as a payload."""
    return payload_pb2.Payload(json=json.dumps(value).encode())


def an_offer(
    stage_id: str, *, token: str = "lease-1", run_input: Any = None, **fields: Any
) -> job_pb2.JobOffer:
    """Return the offer of an execute job of the workflow `pipeline`, version 1."""
    defaults: dict[str, Any] = {
        "workflow_name": "pipeline",
        "workflow_version": 1,
        "kind": job_pb2.JOB_KIND_EXECUTE,
        "generation": 1,
        "attempt": 1,
        "delivery": 1,
        "config": payload({}),
    }
    if run_input is not None:
        defaults["run_input"] = payload(run_input)
    return job_pb2.JobOffer(
        lease_token=token.encode(), run_id="run-1", stage_id=stage_id, **{**defaults, **fields}
    )


def recorded(report: report_pb2.Report) -> report_pb2.ReportAcknowledgement:
    """Return the answer that a report is committed."""
    return report_pb2.ReportAcknowledgement(
        lease_token=report.lease_token, disposition=report_pb2.REPORT_DISPOSITION_RECORDED
    )
