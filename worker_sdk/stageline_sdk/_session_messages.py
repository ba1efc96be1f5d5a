"""What the worker's jobs tell the session, from whatever thread they run in."""

from dataclasses import dataclass

from stageline.v1 import annotation_pb2, report_pb2, run_pb2, usage_pb2


@dataclass(frozen=True, slots=True)
class Finished:
    """Local work on a job has ended; without a report when it was stopped before its end."""

    lease_token: bytes
    report: report_pb2.Report | None


@dataclass(frozen=True, slots=True)
class Logged:
    """A job logged a line."""

    lease_token: bytes
    entry: run_pb2.LogEntry


@dataclass(frozen=True, slots=True)
class Progressed:
    """A job said how far it is."""

    lease_token: bytes
    progress: run_pb2.StageProgress


@dataclass(frozen=True, slots=True)
class Annotated:
    """A job made a note."""

    lease_token: bytes
    entry: annotation_pb2.AnnotationEntry


@dataclass(frozen=True, slots=True)
class Spent:
    """A job made an AI call."""

    lease_token: bytes
    record: usage_pb2.UsageRecord


Message = Finished | Logged | Progressed | Annotated | Spent
