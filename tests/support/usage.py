"""AI calls on the wire, for tests."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from stageline.v1 import job_pb2, report_pb2, usage_pb2, worker_pb2


def record(cost_usd: str | None = "0.001", topic: str = "draft", **fields: Any) -> usage_pb2.UsageRecord:
    """A call that cost something; of unknown cost where that is None."""
    known: dict[str, Any] = {"usage_id": str(uuid4()), "call_type": usage_pb2.CALL_TYPE_TEXT}
    known |= {"input_tokens": 10, "output_tokens": 5}
    return usage_pb2.UsageRecord(topic=topic, cost_usd=cost_usd, **(known | fields))


def usage_item(lease_token: bytes, call: usage_pb2.UsageRecord) -> worker_pb2.WorkerItem:
    """A call under a lease."""
    return worker_pb2.WorkerItem(usage=worker_pb2.UsageItem(lease_token=lease_token, record=call))


def report_with(offer: job_pb2.JobOffer, calls: Sequence[usage_pb2.UsageRecord]) -> worker_pb2.WorkerItem:
    """A report of a completed job with calls."""
    report = report_pb2.Report(lease_token=offer.lease_token, usage=calls)
    report.completed.output.json = b"1"
    return worker_pb2.WorkerItem(report=report)
