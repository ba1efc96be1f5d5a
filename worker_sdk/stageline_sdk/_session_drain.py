"""A worker's drain: when its jobs are told to stop, when they are handed back all the same, when it is over."""

from dataclasses import dataclass
from datetime import timedelta

from stageline.v1 import session_pb2
from stageline_sdk._wire import to_duration

STOP_SHARE = 0.8
"""The share of a drain's time that jobs have to finish. Then they are told to stop, which takes a while too."""

CUT_OFF_SHARE = 0.95
"""The share after which a job that did not stop is handed back all the same; the rest is for the server's answer."""


@dataclass(frozen=True, slots=True)
class WorkerDrain:
    """The times of a drain.

    Attributes:
        stop_at: When jobs are told to stop.
        cut_off_at: When those that go on are handed back.
        over_at: When the worker ends in any case.
    """

    stop_at: float
    cut_off_at: float
    over_at: float

    @classmethod
    def within(cls, length: timedelta, now: float) -> "WorkerDrain":
        """Begin a drain."""
        seconds = length.total_seconds()
        return cls(now + seconds * STOP_SHARE, now + seconds * CUT_OFF_SHARE, now + seconds)

    def item(self, now: float) -> session_pb2.Drain:
        """Return what the server is told."""
        left = timedelta(seconds=max(0.0, self.over_at - now))
        return session_pb2.Drain(deadline=to_duration(left), reason="the worker ends")
