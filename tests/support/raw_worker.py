"""A worker of bare protobuf messages: it says what the test tells it to, and nothing else but acknowledgements."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from stageline.v1 import job_pb2, report_pb2, session_pb2, worker_pb2
from stageline_server.errors import DETAILS_KEY

PATIENCE = timedelta(seconds=20)
"""How long anything is waited for; only a hung test reaches it."""


@dataclass
class Ending:
    """How a stream ended.

    Attributes:
        code: The gRPC code.
        reason: Of the status's ErrorInfo; empty where there is none.
        metadata: Of the ErrorInfo.
        item: The SessionEnd, if there was one.
    """

    code: grpc.StatusCode
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    item: session_pb2.SessionEnd | None = None


class StreamOverError(Exception):
    """The server ended the stream while a test waited for something."""


class RawWorker:
    """One stream of one worker.

    Attributes:
        frames: Every frame that came, in order.
        session_id: Of Welcome.
        welcome: The Welcome.
        acknowledging: Whether the frames it sends acknowledge what it has read.
    """

    def __init__(self, call: Any) -> None:
        """Takes the gRPC call."""
        self.call = call
        self.frames: list[worker_pb2.ServerFrame] = []
        self.session_id = ""
        self.welcome = session_pb2.Welcome()
        self.acknowledging = True
        self._items: deque[worker_pb2.ServerItem] = deque()
        self._sequence = 0

    async def greet(self, free: int, *others: worker_pb2.WorkerItem, **hello: Any) -> None:
        """Sends Hello, Credits and other items in one frame, and waits for Welcome."""
        said = session_pb2.Hello(**{"protocol_version": 1, **hello})
        await self.send(worker_pb2.WorkerItem(hello=said), credits_item(free), *others)
        first = await self._read()
        assert first.items[0].WhichOneof("item") == "welcome", first
        self.welcome = (await self.next("welcome")).welcome
        self.session_id = self.welcome.session_id

    async def send(self, *items: worker_pb2.WorkerItem, **frame: Any) -> int:
        """Sends a frame; returns its sequence. ``frame`` replaces its fields."""
        self._sequence += 1
        seen = self.frames[-1].sequence if self.frames and self.acknowledging else 0
        fields = {"sequence": self._sequence, "acknowledged_sequence": seen, "items": items, **frame}
        await self.call.write(worker_pb2.WorkerFrame(**fields))
        return self._sequence

    async def report(self, offer: job_pb2.JobOffer, *others: worker_pb2.WorkerItem, **outcome: Any) -> None:
        """Reports on an offer and sends other items behind the report."""
        await self.send(report_item(offer.lease_token, **outcome), *others)

    async def next(self, kind: str) -> worker_pb2.ServerItem:
        """Returns the next item of a kind; those of other kinds are kept for later.

        Raises:
            StreamOverError: The stream ended.
        """
        while True:
            for item in self._items:
                if item.WhichOneof("item") == kind:
                    self._items.remove(item)
                    return item
            await self._read()

    async def offer(self) -> job_pb2.JobOffer:
        """Returns the next offer."""
        return (await self.next("offer")).offer

    async def offers(self, count: int) -> list[job_pb2.JobOffer]:
        """Returns the next offers, so many."""
        return [await self.offer() for _ in range(count)]

    async def acknowledgement(self) -> report_pb2.ReportAcknowledgement:
        """Returns the next answer to a report."""
        return (await self.next("report_acknowledgement")).report_acknowledgement

    async def next_frame(self) -> worker_pb2.ServerFrame:
        """Returns the next frame, whatever is in it."""
        return await self._read()

    def waiting(self, kind: str) -> list[worker_pb2.ServerItem]:
        """Items of a kind that have come and that nobody asked for yet."""
        return [item for item in self._items if item.WhichOneof("item") == kind]

    async def ping_pong(self) -> None:
        """Waits until the server has dealt with all that was sent: it acknowledges a ping."""
        sequence = await self.send()
        while not self.frames or self.frames[-1].acknowledged_sequence < sequence:
            await self._read()

    async def _read(self) -> worker_pb2.ServerFrame:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            frame = await self.call.read()
        if not isinstance(frame, worker_pb2.ServerFrame):
            raise StreamOverError(f"{await self.call.code()}: {await self.call.details()}")
        expected = self.frames[-1].sequence + 1 if self.frames else 1
        assert frame.sequence == expected, f"frame {frame.sequence}, expected {expected}"
        self.frames.append(frame)
        self._items.extend(frame.items)
        return frame

    async def half_close(self) -> None:
        """Closes its own side and goes on reading."""
        await self.call.done_writing()

    def break_off(self) -> None:
        """Loses the connection: the server hears no goodbye."""
        self.call.cancel()

    async def ended(self) -> Ending:
        """Reads to the end of the stream and returns how it ended."""
        try:
            while True:
                await self._read()
        except (StreamOverError, grpc.aio.AioRpcError):
            pass
        last = [item.session_end for item in self._items if item.WhichOneof("item") == "session_end"]
        if last:
            assert self.frames[-1].items[-1].WhichOneof("item") == "session_end", "something came after it"
        ending = Ending(await self.call.code(), item=last[0] if last else None)
        raw = dict(await self.call.trailing_metadata() or ()).get(DETAILS_KEY)
        info = error_details_pb2.ErrorInfo()
        for detail in status_pb2.Status.FromString(raw).details if raw else ():
            if detail.Unpack(info):
                ending.reason, ending.metadata = info.reason, dict(info.metadata)
        return ending


def credits_item(free: int) -> worker_pb2.WorkerItem:
    """Says how many slots are free."""
    return worker_pb2.WorkerItem(credits=session_pb2.Credits(free_slots=free))


def report_item(token: bytes, output: bytes = b"{}", **outcome: Any) -> worker_pb2.WorkerItem:
    """A report: completed with an output, unless another outcome is given by its name."""
    report = report_pb2.Report(lease_token=token, **outcome)
    if not outcome:
        report.completed.output.json = output
    return worker_pb2.WorkerItem(report=report)
