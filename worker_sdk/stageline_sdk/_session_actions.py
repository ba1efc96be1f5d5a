"""What the session's state machine asks its shell to do."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from stageline.v1 import job_pb2


@dataclass(frozen=True, slots=True)
class StartJob:
    """Begin local work on a job.

    Attributes:
        offer: The job.
    """

    offer: job_pb2.JobOffer


@dataclass(frozen=True, slots=True)
class StopJob:
    """Stop local work on a job. `SessionCore.finish` is still to be called once it has ended.

    Attributes:
        lease_token: The job's lease.
        reason: Why, for the stage's code and for people.
    """

    lease_token: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class LeaveStream:
    """Give the stream up and connect again.

    Attributes:
        reason: Why, for people.
        reconnect_after: The wait before that, where the server said one.
        address: The server to prefer; empty for the same.
    """

    reason: str
    reconnect_after: timedelta | None = None
    address: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Tell the operator.

    Attributes:
        level: How grave it is.
        text: What there is to tell.
    """

    level: Literal["info", "warning", "error"]
    text: str


Action = StartJob | StopJob | LeaveStream | Notice
