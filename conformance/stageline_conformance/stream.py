"""The server's side of one worker stream, as a script drives it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import grpc

from stageline.v1 import job_pb2, limits_pb2, report_pb2, session_pb2, worker_pb2
from stageline_conformance.messages import LIMITS, RECORDED, acknowledgement, duration
from stageline_conformance.violations import StreamOverError, ViolationError, expect

PATIENCE = timedelta(seconds=15)
"""How long a worker may take for anything; only one that never does it reaches it."""


class ServerStream:
    """One stream. It checks the framing of every frame that comes, and keeps what came.

    Attributes:
        hello: The worker's Hello.
        credits: The free slots that it told last.
        frames: Every frame that came, in order.
        arrivals: When each came, by the monotonic clock, in seconds.
        sent: Number of the last frame that was sent.
        opened_at: When the stream was opened, by the same clock.
        violations: How the worker broke the framing.
        closed_by_worker: Whether the worker closed its side in peace.
    """

    def __init__(self) -> None:
        self.hello = session_pb2.Hello()
        self.credits = -1
        self.frames: list[worker_pb2.WorkerFrame] = []
        self.arrivals: list[float] = []
        self.sent = 0
        self.opened_at = time.monotonic()
        self.violations: list[str] = []
        self.closed_by_worker = False
        self.is_over = False
        self._limits = LIMITS
        self._unread: list[worker_pb2.WorkerItem] = []
        self._changed = asyncio.Condition()
        self._outgoing: asyncio.Queue[worker_pb2.ServerFrame | None] = asyncio.Queue()
        self._status: tuple[grpc.StatusCode, str] = (grpc.StatusCode.OK, "")
        self._welcomed = False
        self._pings: asyncio.Task[None] | None = None

    # What the server says

    async def welcome(
        self,
        *,
        heartbeat_interval: timedelta = timedelta(seconds=1),
        session_timeout: timedelta = timedelta(seconds=20),
        progress_interval: timedelta = timedelta(milliseconds=100),
        limits: limits_pb2.Limits = LIMITS,
        silent: bool = False,
        **fields: Any,
    ) -> None:
        """Send Welcome, and from then on a ping in each interval.

        Args:
            heartbeat_interval: Told to the worker. Likewise the next three.
            session_timeout: See above.
            progress_interval: See above.
            limits: See above.
            silent: Whether to send no pings: the direction from server to worker is stalled.
            **fields: Other fields of Welcome.
        """
        said: dict[str, Any] = {
            "session_id": "session-1",
            "server_id": "conformance",
            "server_version": "0",
            "protocol_version": 1,
            "heartbeat_interval": duration(heartbeat_interval),
            "session_timeout": duration(session_timeout),
            "progress_interval": duration(progress_interval),
            "limits": limits,
        }
        self._limits = limits
        self._welcomed = True
        await self.send(welcome=session_pb2.Welcome(**{**said, **fields}))
        if not silent:
            self._pings = asyncio.create_task(self._ping_each(heartbeat_interval))

    def allow_frames(self) -> None:
        """A Welcome was sent by other means than `welcome`."""
        self._welcomed = True

    async def send(self, **items: Any) -> int:
        """Send a frame with items, each named by its kind; a list stands for several of one kind. None: a ping.

        Returns:
            The frame's number.
        """
        each = [
            worker_pb2.ServerItem(**{kind: one})
            for kind, value in items.items()
            for one in (value if isinstance(value, list) else [value])
        ]
        return await self.send_frame(worker_pb2.ServerFrame(items=each))

    async def send_frame(self, frame: worker_pb2.ServerFrame) -> int:
        """Send a frame as it is, but for its numbers where they are not set; return its number."""
        self.sent += 1
        frame.sequence = frame.sequence or self.sent
        frame.acknowledged_sequence = len(self.frames)
        await self._outgoing.put(frame)
        return self.sent

    async def offer(self, *offers: job_pb2.JobOffer) -> int:
        """Offer jobs in one frame; return its number."""
        return await self.send(offer=list(offers))

    async def acknowledge(
        self,
        lease_token: bytes,
        disposition: "report_pb2.ReportDisposition.ValueType" = RECORDED,
    ) -> None:
        """Answer a report."""
        await self.send(report_acknowledgement=acknowledgement(lease_token, disposition))

    async def end(self, code: grpc.StatusCode = grpc.StatusCode.OK, message: str = "") -> None:
        """End the stream with a status, and wait until it is over."""
        self._status = (code, message)
        await self._outgoing.put(None)
        await self.until(lambda: self.is_over, "the stream's end")

    def stop_pings(self) -> None:
        """Fall silent."""
        if self._pings is not None:
            self._pings.cancel()

    # What the worker says

    async def next(self, kind: str, matching: Callable[[Any], bool] = lambda _: True) -> Any:
        """Return the worker's next message of a kind, those before and after it of other kinds left for later.

        Raises:
            StreamOverError: The worker ended the stream.
            ViolationError: It did not come, or the worker broke the framing.
        """
        found: list[Any] = []

        def look() -> bool:
            for item in self._unread:
                if item.WhichOneof("item") == kind and matching(getattr(item, kind)):
                    self._unread.remove(item)
                    found.append(getattr(item, kind))
                    return True
            return False

        await self.until(look, f"an item `{kind}`")
        return found[0]

    async def report(self, lease_token: bytes) -> report_pb2.Report:
        """Return the report of a lease."""
        report: report_pb2.Report = await self.next("report", lambda each: each.lease_token == lease_token)
        return report

    async def done_of(self, lease_token: bytes) -> worker_pb2.DirectiveDone:
        """Return the answer to a directive."""
        done: worker_pb2.DirectiveDone = await self.next(
            "directive_done", lambda each: each.lease_token == lease_token
        )
        return done

    async def credits_of(self, count: int) -> None:
        """Wait until the worker says that so many slots are free."""
        await self.until(lambda: self.credits == count, f"Credits of {count} (the last were {self.credits})")

    async def acknowledged(self, sequence: int) -> None:
        """Wait until the worker has acknowledged a frame."""
        await self.until(
            lambda: bool(self.frames) and self.frames[-1].acknowledged_sequence >= sequence,
            f"the acknowledgement of frame {sequence}",
        )

    async def over(self) -> None:
        """Wait until the stream is over."""
        await self.until(lambda: self.is_over, "the stream's end")

    async def until(self, is_so: Callable[[], bool], what: str, within: timedelta = PATIENCE) -> None:
        """Wait until something is so, looking after each frame.

        Raises:
            StreamOverError: The stream ended, and it is not so.
            ViolationError: It was not so in time, or the worker broke the framing.
        """
        try:
            async with asyncio.timeout(within.total_seconds()), self._changed:
                while not is_so():
                    self.check()
                    if self.is_over:
                        raise StreamOverError(f"the stream ended while the suite waited for {what}")
                    await self._changed.wait()
        except TimeoutError:
            raise ViolationError(f"{what} did not come within {within.total_seconds():g} s") from None

    def count(self, kind: str, lease_token: bytes | None = None) -> int:
        """Return how many items of a kind came in all, of one lease or of any."""
        return sum(
            item.WhichOneof("item") == kind
            and (lease_token is None or getattr(item, kind).lease_token == lease_token)
            for item in self.items()
        )

    def items(self) -> list[worker_pb2.WorkerItem]:
        """Return every item that came, in order."""
        return [item for frame in self.frames for item in frame.items]

    def check(self) -> None:
        """Raise what the worker did to the framing.

        Raises:
            ViolationError: It broke it.
        """
        expect(not self.violations, "; ".join(self.violations))

    # The wire

    async def take(self, frame: worker_pb2.WorkerFrame) -> None:
        """Check and keep a frame of the worker."""
        self.violations += self._faults(frame)
        if not self.frames and frame.items:
            self.hello = frame.items[0].hello
        for item in frame.items:
            if item.WhichOneof("item") == "credits":
                self.credits = item.credits.free_slots
        async with self._changed:
            self.frames.append(frame)
            self.arrivals.append(time.monotonic())
            self._unread += frame.items
            self._changed.notify_all()

    def _faults(self, frame: worker_pb2.WorkerFrame) -> list[str]:
        before = self.frames[-1].acknowledged_sequence if self.frames else 0
        number, hellos = len(self.frames) + 1, [item.HasField("hello") for item in frame.items]
        found = {
            f"R10: frame {frame.sequence} came where {number} was due": frame.sequence != number,
            f"R12: frame {number} acknowledges {frame.acknowledged_sequence} after {before}": (
                frame.acknowledged_sequence < before
            ),
            f"R12: frame {number} acknowledges {frame.acknowledged_sequence}, of {self.sent} that were sent": (
                frame.acknowledged_sequence > self.sent
            ),
            f"R14: frame {number} has {frame.ByteSize()} bytes": (
                frame.ByteSize() > (self._limits.frame_bytes_max or LIMITS.frame_bytes_max)
            ),
            f"R14: frame {number} has {len(frame.items)} items": (
                len(frame.items) > (self._limits.frame_items_max or LIMITS.frame_items_max)
            ),
            "R2: the first frame does not begin with Hello": number == 1 and hellos[:1] != [True],
            f"R2: frame {number} has a Hello of its own": any(hellos[1:] if number == 1 else hellos),
            f"R4: frame {number} came before Welcome": number > 1 and not self._welcomed,
        }
        return [fault for fault, is_so in found.items() if is_so]

    async def outgoing(self) -> AsyncIterator[worker_pb2.ServerFrame]:
        """Yield what is to be sent until the end."""
        while (frame := await self._outgoing.get()) is not None:
            yield frame

    async def closed(self, *, in_peace: bool) -> None:
        """The worker has closed its side, or the stream is over."""
        self.stop_pings()
        async with self._changed:
            self.is_over = self.is_over or not in_peace
            self.closed_by_worker = self.closed_by_worker or in_peace
            self._changed.notify_all()

    @property
    def status(self) -> tuple[grpc.StatusCode, str]:
        """How the stream ends."""
        return self._status

    async def _ping_each(self, interval: timedelta) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(interval.total_seconds() / 2)
                await self.send()
