"""A worker with bad manners and a good memory: it loses connections, repeats itself, leaves and comes back."""

import asyncio
import random
from collections.abc import Sequence

import grpc

from stageline.v1 import job_pb2, report_pb2, session_pb2, worker_pb2
from tests.support.plane import PlaneServer
from tests.support.raw_worker import RawWorker, StreamOverError, credits_item, report_item


class UnrulyWorker:
    """Keeps what a worker must keep between streams: what it holds, and reports that were not answered.

    Attributes:
        slots: Of Hello.
        calm: Whether it behaves by now.
        streams: How many streams it has had.
        resumed: How many of them went on with an earlier session.
        answers: How often it got each disposition.
    """

    def __init__(self, servers: Sequence[PlaneServer], slots: int, seed: int) -> None:
        self.slots = slots
        self.calm = False
        self.streams = self.resumed = 0
        self.answers: dict[int, int] = {}
        self._servers = servers
        self._chance = random.Random(seed)
        self._session_id = ""
        self._held: dict[bytes, job_pb2.JobOffer] = {}
        self._reports: dict[bytes, worker_pb2.WorkerItem] = {}

    async def work(self) -> None:
        """Works until cancelled, over as many streams as it takes."""
        while True:
            try:
                await self._one_stream()
            except (StreamOverError, grpc.aio.AioRpcError):
                continue

    async def _one_stream(self) -> None:
        server = self._chance.choice(self._servers)
        held = [session_pb2.HeldLease(lease_token=token) for token in self._held]
        held += [
            session_pb2.HeldLease(lease_token=token, unacknowledged_report=True) for token in self._reports
        ]
        stream = await server.connect(
            "chain",
            slots=self.slots,
            free=self.slots - len(self._held),
            resume_session_id=self._session_id,
            held_leases=held,
        )
        self._session_id = stream.session_id
        self.streams += 1
        self.resumed += stream.welcome.resumed
        try:
            while True:
                self._take((await stream.next_frame()).items)
                if self._misbehaves(0.02):
                    break
                if self._misbehaves(0.02):
                    await self._leave(stream)
                    return
                await stream.send(*self._says(), credits_item(self.slots - len(self._held)))
        finally:
            stream.break_off()

    def _misbehaves(self, chance: float) -> bool:
        return not self.calm and self._chance.random() < chance

    def _take(self, items: Sequence[worker_pb2.ServerItem]) -> None:
        for item in items:
            match item.WhichOneof("item"):
                case "offer":
                    self._held[item.offer.lease_token] = item.offer
                    assert len(self._held) <= self.slots, "more offers than credits"
                case "report_acknowledgement":
                    answer = item.report_acknowledgement
                    self._reports.pop(answer.lease_token, None)
                    self.answers[answer.disposition] = self.answers.get(answer.disposition, 0) + 1
                case "directive":
                    self._held.pop(item.directive.lease_token, None)
                case "held_lease_verdict":
                    self._judged(item.held_lease_verdict)
                case "error":
                    raise AssertionError(item.error)

    def _judged(self, verdict: session_pb2.HeldLeaseVerdict) -> None:
        if verdict.verdict == session_pb2.LEASE_VERDICT_DROP:
            self._held.pop(verdict.lease_token, None)
            self._reports.pop(verdict.lease_token, None)

    def _says(self) -> list[worker_pb2.WorkerItem]:
        """Reports on some of what it holds; again on what was not answered, where it feels like it."""
        items = [report for report in self._reports.values() if self._chance.random() < 0.3]
        for token in list(self._held):
            if self._chance.random() < 0.2:
                continue
            offer = self._held.pop(token)
            if self._misbehaves(0.1):
                self._reports[token] = report_item(token, returned=report_pb2.Returned())
            else:
                self._reports[token] = report_item(token, f'"{offer.stage_id}"'.encode())
            items += [self._reports[token]] * (2 if self._misbehaves(0.1) else 1)
        return items

    async def _leave(self, stream: RawWorker) -> None:
        """Closes its side with whatever it holds: the server hands that on."""
        await stream.half_close()
        try:
            async with asyncio.timeout(5):
                while True:
                    self._take((await stream.next_frame()).items)
        except (StreamOverError, grpc.aio.AioRpcError, TimeoutError):
            self._held.clear()
            self._session_id = ""
