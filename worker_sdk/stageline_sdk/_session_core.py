"""The worker's side of a session as a state machine without I/O: frames and times in, frames and actions out.

It survives its streams. What a worker owes the server (reports above all) is kept here until the server has it, over
any number of connections. `worker_service.proto` has the rules; the clock is any monotonic one, in seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from stageline.v1 import annotation_pb2, job_pb2, report_pb2, run_pb2, session_pb2, usage_pb2, worker_pb2
from stageline_sdk._reports import returned
from stageline_sdk._session_actions import Action, LeaveStream, Notice, StopJob
from stageline_sdk._session_drain import WorkerDrain
from stageline_sdk._session_items import JobItems
from stageline_sdk._session_jobs import JobTable, StopCause
from stageline_sdk._session_logs import BUFFERED_ENTRIES_MAX, RateLimit, fitted
from stageline_sdk._session_stream import FramingError, WorkerStream
from stageline_sdk._session_terms import Terms

PROTOCOL_VERSION = 1
NEVER = float("inf")

WELCOME_WITHIN = timedelta(seconds=20)
"""How long a server may take for its first Welcome, which tells all other times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionProfile:
    """What a worker says of itself at each Hello.

    Attributes:
        namespace: The namespace that it works for.
        identity: Who it is.
        slots: The most jobs that it works on at once.
        labels: For people, and for stages that require them.
        stage_ids: The stages that it runs; None for all of its workflows.
    """

    namespace: str
    identity: session_pb2.WorkerIdentity
    slots: int
    labels: dict[str, str]
    stage_ids: frozenset[str] | None = None


class SessionCore:
    """One session, over all its streams.

    Attributes:
        session_id: The session's id; empty before the first Welcome.
        jobs: What the worker holds.
    """

    def __init__(self, profile: SessionProfile, knows: Callable[[job_pb2.JobOffer], bool]) -> None:
        """Make a session that was never connected.

        Args:
            profile: What the worker says of itself.
            knows: Whether the worker can do a job.
        """
        self.session_id = ""
        self.jobs = JobTable(profile.slots)
        self._profile = profile
        self._items = JobItems(self.jobs, knows)
        self._stream: WorkerStream | None = None
        self._heard_at: float | None = None
        self._rate: RateLimit | None = None
        self._drain: WorkerDrain | None = None
        self._server_drain: session_pb2.Drain | None = None
        self._server_drain_until = NEVER

    # Streams

    def open_stream(self, stages: Sequence[session_pb2.WorkerStages], now: float) -> worker_pb2.WorkerFrame:
        """Begin a stream, and return its first frame."""
        self._stream = WorkerStream(self.jobs, now)
        self._server_drain, self._server_drain_until = None, NEVER
        hello = session_pb2.Hello(
            namespace=self._profile.namespace,
            identity=self._profile.identity,
            protocol_version=PROTOCOL_VERSION,
            slots=self._profile.slots,
            stages=stages,
            labels=self._profile.labels,
            resume_session_id=self.session_id,
            held_leases=self.jobs.begin_stream(),
        )
        return self._stream.open(hello, self._free_slots, now)

    def close_stream(self) -> session_pb2.SessionEnd | None:
        """The stream is over; return the server's last word, if it said one. Leases go on."""
        stream, self._stream = self._stream, None
        return stream.session_end if stream is not None else None

    def abandon_session(self) -> list[Action]:
        """The session belongs to another stream now: stop everything, and start anew at the next one."""
        self.session_id = ""
        return [each for job in self.jobs for each in self._items.drop(job, "the session goes on elsewhere")]

    def receive(self, frame: worker_pb2.ServerFrame, now: float) -> list[Action]:
        """Deal with a frame of the server.

        Raises:
            FramingError: The server broke the framing; close the stream.
        """
        stream = self._stream
        if stream is None:
            return []
        stream.receive(frame)
        self._heard_at = now
        first = frame.items[0].WhichOneof("item") if frame.items else None
        if stream.terms is None and first not in ("welcome", "session_end"):
            raise FramingError("the server's first item is no Welcome")
        return [action for item in frame.items for action in self._receive_item(stream, item, now)]

    def next_frame(self, now: float) -> worker_pb2.WorkerFrame | None:
        """Return the next frame to send; None while there is nothing to say."""
        if self._stream is None:
            return None
        drain = None if self._drain is None else self._drain.item(now)
        return self._stream.next_frame(self._free_slots, drain, now)

    def next_frame_at(self) -> float:
        """Return when `next_frame` has something to say, if nothing happens before."""
        return NEVER if self._stream is None else self._stream.next_frame_at()

    # What the worker says

    def finish(self, lease_token: bytes, report: report_pb2.Report | None) -> None:
        """Local work on a job has ended.

        Args:
            lease_token: The job's lease.
            report: How it went; None when it was stopped before its end.
        """
        job = self.jobs.get(lease_token)
        if job is None or not job.is_working:
            return
        self.jobs.end_work(job)
        if job.stop is StopCause.DIRECTIVE and not job.is_cut_off:
            self._items.directive_done(lease_token, stopped=True)
        if job.stop in (StopCause.DIRECTIVE, StopCause.DROPPED):
            self.jobs.forget(job)
        elif not job.is_cut_off:
            if report is None:
                report = returned(lease_token, "DRAINING", "it was stopped before its end", started=True)
            self.jobs.keep_report(job, report)

    def log(self, lease_token: bytes, entry: run_pb2.LogEntry, now: float) -> None:
        """Take a log line of a job. Those beyond the server's rate are dropped and counted."""
        job, terms = self.jobs.hear(lease_token), self.jobs.terms
        if job is None or terms is None:
            return
        if self._rate is not None and self._rate.take(now) and not self._is_log_buffer_full():
            job.logs.add(fitted(entry, terms))
        else:
            job.logs.drop()
        if self._stream is not None:
            self._stream.took_log(now)

    def progress(self, lease_token: bytes, progress: run_pb2.StageProgress) -> None:
        """Take the progress of a job, in place of one that is not sent yet."""
        job = self.jobs.hear(lease_token)
        if job is not None:
            job.progress = progress

    def annotate(self, lease_token: bytes, entry: annotation_pb2.AnnotationEntry) -> None:
        """Take an annotation of a job, and keep it until the server has it."""
        job = self.jobs.hear(lease_token)
        if job is not None:
            job.annotations.add(entry)

    def record_usage(self, lease_token: bytes, record: usage_pb2.UsageRecord) -> None:
        """Take an AI call, and keep it until the server has it, whatever becomes of its job."""
        self.jobs.usage.add(lease_token, record)

    def drain(self, within: timedelta, now: float) -> None:
        """Take nothing new, and finish or hand back what is held within a time. Another call may only shorten it."""
        drain = WorkerDrain.within(within, now)
        if self._drain is None or drain.over_at < self._drain.over_at:
            self._drain = drain

    @property
    def is_draining(self) -> bool:
        """Whether the worker wants to end."""
        return self._drain is not None

    def is_drained(self, now: float) -> bool:
        """Whether the worker wants to end, and nothing is owed any more or the time for it is over."""
        if self._drain is None:
            return False
        owes_nothing = not len(self.jobs) and not self.jobs.directives_done and not len(self.jobs.usage)
        return owes_nothing or now >= self._drain.over_at

    # Time

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        actions = self._stop_for_drain(now)
        self._cut_off(now)  # After the stops: a drain that has no time at all cuts off at once.
        return [*actions, *self._notice_silence(now), *self._leave_draining_server(now)]

    def next_tick_at(self) -> float:
        """Return when `tick` has something to do, if nothing happens before."""
        times = [job.cut_off_at for job in self.jobs if job.cut_off_at is not None and not job.is_cut_off]
        if self._drain is not None:
            times.append(self._drain.over_at)
            if any(job.is_working and job.stop is None for job in self.jobs):
                times.append(self._drain.stop_at)
        return min([*times, self._stream_silent_at(), self._leases_lost_at(), self._server_drain_until])

    def _stop_for_drain(self, now: float) -> list[Action]:
        if self._drain is None or now < self._drain.stop_at:
            return []
        working = [job for job in self.jobs if job.is_working and job.stop is None]
        for job in working:
            job.stop, job.cut_off_at = StopCause.DRAIN, self._drain.cut_off_at
        return [StopJob(job.lease_token, "the worker ends") for job in working]

    def _cut_off(self, now: float) -> None:
        """Give up on local work that was told to stop and goes on: a thread cannot be ended."""
        for job in self.jobs:
            if job.cut_off_at is None or job.cut_off_at > now or job.is_cut_off or not job.is_working:
                continue
            job.is_cut_off = True
            if job.stop is StopCause.DIRECTIVE:
                self._items.directive_done(job.lease_token, stopped=False)
            else:
                cut_off = returned(job.lease_token, "DRAINING", "it could not be stopped", started=True)
                self.jobs.keep_report(job, cut_off)

    def _notice_silence(self, now: float) -> list[Action]:
        actions: list[Action] = []
        if now >= self._stream_silent_at():
            actions.append(LeaveStream("the server was silent for too long"))
        if now >= self._leases_lost_at():
            self._heard_at = None
            actions += self._lose_leases("the server was not heard for the session's timeout")
        return actions

    def _lose_leases(self, reason: str) -> list[Action]:
        """The server has taken the leases back by now: go no further, but report what ends."""
        lost = [job for job in self.jobs if job.is_working and job.stop is None]
        for job in lost:
            job.stop = StopCause.LEASE_LOST
        notices: list[Action] = (
            [Notice("warning", f"{reason}; {len(lost)} job(s) are stopped")] if lost else []
        )
        return [*notices, *(StopJob(job.lease_token, reason) for job in lost)]

    def _leave_draining_server(self, now: float) -> list[Action]:
        """Leave a server that drains, once nothing is held or its time is over."""
        drain = self._server_drain
        if drain is None or self._stream is None or (len(self.jobs) and now < self._server_drain_until):
            return []
        self._server_drain, self._server_drain_until = None, NEVER
        after = drain.reconnect_after.ToTimedelta() if drain.HasField("reconnect_after") else None
        return [LeaveStream("the server drains", after, drain.reconnect_address)]

    def _stream_silent_at(self) -> float:
        if self._stream is None:
            return NEVER
        if self._stream.terms is None:
            return self._stream.opened_at + self._welcome_within().total_seconds()
        heard_at = max(self._stream.opened_at, self._heard_at or 0)
        return heard_at + self._stream.terms.session_timeout.total_seconds()

    def _welcome_within(self) -> timedelta:
        """No longer than the server waits for us: a later Welcome may offer jobs that were handed on since."""
        terms = self.jobs.terms
        return WELCOME_WITHIN if terms is None else min(WELCOME_WITHIN, terms.session_timeout)

    def _leases_lost_at(self) -> float:
        if self._heard_at is None or self.jobs.terms is None:
            return NEVER
        return self._heard_at + self.jobs.terms.session_timeout.total_seconds()

    # Items of the server

    def _receive_item(self, stream: WorkerStream, item: worker_pb2.ServerItem, now: float) -> list[Action]:
        match item.WhichOneof("item"):
            case "welcome":
                self._on_welcome(stream, item.welcome, now)
            case "offer":
                stream.took_offer(now)
                return self._items.offer(item.offer, is_draining=self.is_draining)
            case "report_acknowledgement":
                return self._items.acknowledgement(item.report_acknowledgement)
            case "directive":
                return self._items.directive(item.directive, now)
            case "held_lease_verdict":
                return self._items.verdict(item.held_lease_verdict)
            case "error":
                return self._items.refused_item(item.error)
            case "record_acknowledgement":
                for job in self.jobs.speaking:
                    job.annotations.acknowledge(item.record_acknowledgement.annotation_ids)
                self.jobs.usage.acknowledge(item.record_acknowledgement.usage_ids)
            case "drain":
                self._on_drain(item.drain, now)
            case "session_end":
                stream.session_end = item.session_end
        return []  # Also for what a newer server says and this SDK does not know.

    def _on_welcome(self, stream: WorkerStream, welcome: session_pb2.Welcome, now: float) -> None:
        self.session_id = welcome.session_id
        stream.terms = self.jobs.terms = Terms.of(welcome)
        if self._rate is None or self._rate.per_second != stream.terms.log_entries_per_second_max:
            self._rate = RateLimit(stream.terms.log_entries_per_second_max, now)

    def _on_drain(self, drain: session_pb2.Drain, now: float) -> None:
        self._server_drain = drain
        if drain.HasField("deadline"):
            self._server_drain_until = now + drain.deadline.ToTimedelta().total_seconds()

    @property
    def _free_slots(self) -> int:
        return 0 if self.is_draining else max(0, self.jobs.slots - self.jobs.busy_slots)

    def _is_log_buffer_full(self) -> bool:
        return sum(len(job.logs) for job in self.jobs.speaking) >= BUFFERED_ENTRIES_MAX
