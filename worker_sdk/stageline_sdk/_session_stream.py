"""One stream of a session as seen from the worker: its numbers, and what goes into the next frame."""

from stageline.v1 import session_pb2, worker_pb2
from stageline_sdk._session_frames import FramePacker
from stageline_sdk._session_jobs import HeldJob, JobTable
from stageline_sdk._session_terms import Terms

ACKNOWLEDGE_WITHIN_SECONDS = 0.02
"""How long the acknowledgement of an offer may wait for company: a job that takes milliseconds ends in the same frame."""

LOGS_WITHIN_SECONDS = 0.05
"""How long a log line may wait for others: they are for people, and a frame for each would cost more than the line."""

HEARTBEAT_MARGIN = 0.8
"""A heartbeat is sent this share of the interval after the last frame, so that it arrives within the interval."""


class FramingError(Exception):
    """The server broke the framing. The stream is of no use any more."""


class WorkerStream:
    """The worker's side of one stream.

    Attributes:
        opened_at: When it was opened.
        terms: What Welcome said; None before it.
        session_end: The server's last word, if it said it.
        received: Number of the server's last frame.
    """

    def __init__(self, jobs: JobTable, now: float) -> None:
        self.opened_at = now
        self.terms: Terms | None = None
        self.session_end: session_pb2.SessionEnd | None = None
        self.received = 0
        self._jobs = jobs
        self._sent = 0
        self._sent_at = now
        self._acknowledge_at: float | None = None
        self._logs_at: float | None = None
        self._drain_told = False
        # What the server believes to be free: what it was told last, less the offers that came since.
        self._credits_told = 0

    def open(self, hello: session_pb2.Hello, free_slots: int, now: float) -> worker_pb2.WorkerFrame:
        """Return the first frame."""
        self._credits_told = free_slots
        items = [
            worker_pb2.WorkerItem(hello=hello),
            worker_pb2.WorkerItem(credits=session_pb2.Credits(free_slots=free_slots)),
        ]
        return self._sealed(items, now)

    def receive(self, frame: worker_pb2.ServerFrame) -> None:
        """Count a frame of the server.

        Raises:
            FramingError: Its number does not follow.
        """
        if frame.sequence != self.received + 1:
            raise FramingError(f"frame {frame.sequence} came after frame {self.received}")
        self.received = frame.sequence

    def took_offer(self, now: float) -> None:
        """Count an offer, which used a credit and is to be acknowledged soon."""
        self._credits_told -= 1
        if self._acknowledge_at is None:
            self._acknowledge_at = now + ACKNOWLEDGE_WITHIN_SECONDS

    def took_log(self, now: float) -> None:
        """A log line waits to be sent."""
        if self._logs_at is None:
            self._logs_at = now + LOGS_WITHIN_SECONDS

    def next_frame(
        self, free_slots: int, drain: session_pb2.Drain | None, now: float
    ) -> worker_pb2.WorkerFrame | None:
        """Return the next frame; None when nothing is to be said yet."""
        if self.terms is None:
            return None
        packer = FramePacker(self.terms)
        self._pack_control(packer, free_slots, drain)
        self._pack_annotations(packer)
        self._pack_usage(packer)
        self._pack_reports(packer)
        self._pack_progress(packer, self.terms, now)
        if self._logs_at is not None and self._logs_at <= now:
            self._pack_logs(packer)
        if not packer.items and not self._is_ping_due(now):
            return None
        return self._sealed(packer.items, now)

    def next_frame_at(self) -> float:
        """Return when there is something to be said, as far as only time decides it."""
        if self.terms is None:
            return float("inf")
        times = [self._heartbeat_at(self.terms)]
        times += [at for at in (self._acknowledge_at, self._logs_at) if at is not None]
        times += [job.progress_at for job in self._jobs.speaking if job.progress is not None]
        return min(times)

    def _pack_control(self, packer: FramePacker, free_slots: int, drain: session_pb2.Drain | None) -> None:
        if drain is not None and not self._drain_told:
            self._drain_told = packer.add(worker_pb2.WorkerItem(drain=drain))
        if free_slots != self._credits_told:
            packer.add(worker_pb2.WorkerItem(credits=session_pb2.Credits(free_slots=free_slots)))
            self._credits_told = free_slots
        done = self._jobs.directives_done
        while done and packer.add(worker_pb2.WorkerItem(directive_done=done[0])):
            done.popleft()

    def _pack_reports(self, packer: FramePacker) -> None:
        """Add reports, each after what its job said: once the report is in, its lease is over."""
        ready = self._jobs.ready_reports
        while ready:
            job = ready[0]
            if job.report is None:  # Settled in the meantime.
                ready.popleft()
                continue
            item = worker_pb2.WorkerItem(report=job.report)
            is_first = self._pack_annotations_of(job, packer) and self._pack_logs_of(job, packer)
            if not is_first or not packer.add(item):
                return
            ready.popleft()

    def _pack_annotations(self, packer: FramePacker) -> None:
        for job in self._jobs.speaking:
            if job.annotations and job.is_held and not job.awaits_verdict:
                self._pack_annotations_of(job, packer)

    def _pack_annotations_of(self, job: HeldJob, packer: FramePacker) -> bool:
        """Add a job's annotations; False when the frame is full before the last one."""
        while (item := job.annotations.next_item(job.lease_token)) is not None:
            if not packer.add(item):
                return False
            job.annotations.sent()
        return True

    def _pack_usage(self, packer: FramePacker) -> None:
        """Add AI calls, as many as there is room for."""
        usage = self._jobs.usage
        while (item := usage.next_item()) is not None and packer.add(item):
            usage.sent()

    def _pack_progress(self, packer: FramePacker, terms: Terms, now: float) -> None:
        for job in self._jobs.speaking:
            if job.progress is None or job.progress_at > now:
                continue
            item = worker_pb2.Progress(lease_token=job.lease_token, progress=job.progress)
            if not packer.add(worker_pb2.WorkerItem(progress=item)):
                return
            job.progress = None
            job.progress_at = now + terms.progress_interval.total_seconds()

    def _pack_logs(self, packer: FramePacker) -> None:
        for job in self._jobs.speaking:
            if job.logs and job.report is None and not self._pack_logs_of(job, packer):
                return  # The rest goes with the next frame.
        self._logs_at = None

    def _pack_logs_of(self, job: HeldJob, packer: FramePacker) -> bool:
        """Add a job's log lines; False when the frame is full before the last one."""
        while job.logs:
            batch = job.logs.take_batch(job.lease_token, packer.room_bytes)
            if batch is not None:
                packer.add(worker_pb2.WorkerItem(logs=batch))
            elif packer.items:
                return False
            else:
                job.logs.drop_first()
        return True

    def _is_ping_due(self, now: float) -> bool:
        if self._acknowledge_at is not None and self._acknowledge_at <= now:
            return True
        return self.terms is not None and self._heartbeat_at(self.terms) <= now

    def _heartbeat_at(self, terms: Terms) -> float:
        return self._sent_at + terms.heartbeat_interval.total_seconds() * HEARTBEAT_MARGIN

    def _sealed(self, items: list[worker_pb2.WorkerItem], now: float) -> worker_pb2.WorkerFrame:
        self._sent += 1
        self._sent_at = now
        self._acknowledge_at = None
        return worker_pb2.WorkerFrame(sequence=self._sent, acknowledged_sequence=self.received, items=items)
