"""A session's state machine with a clock that tests turn, and a server that is only frames."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from stageline.v1 import job_pb2, limits_pb2, report_pb2, session_pb2, worker_pb2
from stageline_sdk._session_actions import Action, StartJob, StopJob
from stageline_sdk._session_core import SessionCore, SessionProfile

LIMITS = limits_pb2.Limits(
    frame_bytes_max=64 * 1024,
    inline_payload_bytes_max=16 * 1024,
    payload_bytes_max=64 * 1024,
    log_message_bytes_max=1024,
    log_entries_per_second_max=100,
    frame_items_max=50,
)
HEARTBEAT = timedelta(seconds=5)
TIMEOUT = timedelta(seconds=15)


def duration(value: timedelta) -> Duration:
    """Return a duration as a message."""
    message = Duration()
    message.FromTimedelta(value)
    return message


def offer(token: str = "a", **fields: Any) -> job_pb2.JobOffer:
    """Return an offer of an execute job."""
    values: dict[str, Any] = {
        "lease_token": token.encode(),
        "run_id": "run-1",
        "workflow_name": "pipeline",
        "workflow_version": 1,
        "stage_id": "work",
        "kind": job_pb2.JOB_KIND_EXECUTE,
        **fields,
    }
    return job_pb2.JobOffer(**values)


def completed(token: str = "a", output: bytes = b"1") -> report_pb2.Report:
    """Return the report of a job that is done."""
    report = report_pb2.Report(lease_token=token.encode())
    report.completed.output.json = output
    return report


def acknowledgement(
    token: str = "a",
    disposition: report_pb2.ReportDisposition.ValueType = report_pb2.REPORT_DISPOSITION_RECORDED,
) -> worker_pb2.ServerItem:
    """Return the answer to a report."""
    answer = report_pb2.ReportAcknowledgement(lease_token=token.encode(), disposition=disposition)
    return worker_pb2.ServerItem(report_acknowledgement=answer)


def verdict(token: str, value: session_pb2.LeaseVerdict.ValueType) -> worker_pb2.ServerItem:
    """Return the answer to a held lease."""
    answer = session_pb2.HeldLeaseVerdict(lease_token=token.encode(), verdict=value)
    return worker_pb2.ServerItem(held_lease_verdict=answer)


class Harness:
    """Drives one core.

    Attributes:
        core: The state machine.
        now: The time, in seconds.
        sent: Every frame of the worker on the present stream.
    """

    def __init__(self, slots: int = 4) -> None:
        identity = session_pb2.WorkerIdentity(name="worker")
        profile = SessionProfile(namespace="default", identity=identity, slots=slots, labels={})
        self.core = SessionCore(profile, lambda job: job.stage_id != "unknown")
        self.now = 1000.0
        self.sent: list[worker_pb2.WorkerFrame] = []
        self._sequence = 0

    def connect(self, *items: worker_pb2.ServerItem, limits: limits_pb2.Limits = LIMITS) -> list[Action]:
        """Open a stream, with Welcome and other items in the server's first frame."""
        self._sequence = 0
        self.sent = [self.core.open_stream([], self.now)]
        welcome = session_pb2.Welcome(
            session_id="session-1",
            heartbeat_interval=duration(HEARTBEAT),
            session_timeout=duration(TIMEOUT),
            progress_interval=duration(timedelta(seconds=1)),
            limits=limits,
        )
        return self.serve(worker_pb2.ServerItem(welcome=welcome), *items)

    def serve(self, *items: worker_pb2.ServerItem) -> list[Action]:
        """Give the core a frame of the server."""
        self._sequence += 1
        return self.core.receive(worker_pb2.ServerFrame(sequence=self._sequence, items=items), self.now)

    def offer(self, *tokens: str, **fields: Any) -> list[Action]:
        """Offer jobs, in one frame."""
        return self.serve(*(worker_pb2.ServerItem(offer=offer(token, **fields)) for token in tokens))

    def pump(self) -> list[worker_pb2.WorkerItem]:
        """Return the items of every frame that is due now."""
        items: list[worker_pb2.WorkerItem] = []
        while (frame := self.core.next_frame(self.now)) is not None:
            self.sent.append(frame)
            items += frame.items
        return items

    def kinds(self) -> list[str]:
        """Return the kinds of every item that is due now."""
        return [str(item.WhichOneof("item")) for item in self.pump()]

    def wait(self, seconds: float) -> list[Action]:
        """Turn the clock, and let the core do what is due."""
        self.now += seconds
        return self.core.tick(self.now)

    def reports(self) -> list[report_pb2.Report]:
        """Return the reports that are due now."""
        return [item.report for item in self.pump() if item.WhichOneof("item") == "report"]


def started(actions: Sequence[Action]) -> list[str]:
    """Return the leases of the jobs that are to be started."""
    return [action.offer.lease_token.decode() for action in actions if isinstance(action, StartJob)]


def stopped(actions: Sequence[Action]) -> list[str]:
    """Return the leases of the jobs that are to be stopped."""
    return [action.lease_token.decode() for action in actions if isinstance(action, StopJob)]
