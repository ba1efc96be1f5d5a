"""One stream over a transport that breaks, stalls and closes when the test says so."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from stageline.v1 import session_pb2, worker_pb2
from stageline_engine import limits
from stageline_engine.commands import CreateRun, RunCreation
from stageline_engine.model.job import JobState
from stageline_engine.testing.clock import VirtualClock
from stageline_engine.testing.definitions import digest_of, workflow
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.dispatch.settings import PlaneSettings
from stageline_server.stores import memory_ports
from stageline_server.streams import session as session_module
from stageline_server.streams.endings import StreamEndedError
from stageline_server.streams.session import WorkSession
from tests.support.plane import BRISK
from tests.support.raw_worker import credits_item
from tests.waiting import eventually


class BrokenConnectionError(Exception):
    """What a write raises when nobody is at the other end."""


class FakeTransport:
    """The Transport port for tests. It allows one write at a time, as gRPC does.

    Attributes:
        frames: What was written.
        gate: Writes wait while it is closed.
        blocked: Set as soon as one waits there.
        broken: Whether writes that begin from now on fail.
    """

    def __init__(self) -> None:
        self.frames: list[worker_pb2.ServerFrame] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.blocked = asyncio.Event()
        self.broken = False
        self._incoming: asyncio.Queue[worker_pb2.WorkerFrame | None] = asyncio.Queue()
        self._writing = False
        self._sequence = 0

    async def read(self) -> worker_pb2.WorkerFrame | None:
        return await self._incoming.get()

    async def write(self, frame: worker_pb2.ServerFrame) -> None:
        assert not self._writing, "two writes at a time"
        self._writing = True
        try:
            if self.broken:
                raise BrokenConnectionError
            if not self.gate.is_set():
                self.blocked.set()
            await self.gate.wait()
            self.frames.append(frame)
        finally:
            self._writing = False

    def say(self, *items: worker_pb2.WorkerItem, sequence: int | None = None) -> None:
        """Has a frame come from the worker."""
        self._sequence = self._sequence + 1 if sequence is None else sequence
        self._incoming.put_nowait(worker_pb2.WorkerFrame(sequence=self._sequence, items=items))

    def end(self) -> None:
        """Has the reading half end: a half-close and a broken connection look the same."""
        self._incoming.put_nowait(None)

    def kinds(self) -> list[str | None]:
        return [item.WhichOneof("item") for frame in self.frames for item in frame.items]

    async def until(self, kind: str) -> worker_pb2.ServerItem:
        """Waits until an item of a kind has been written."""

        async def written() -> list[worker_pb2.ServerItem]:
            items = [item for frame in self.frames for item in frame.items]
            return [item for item in items if item.WhichOneof("item") == kind]

        return (await eventually(written, what=f"an item {kind}"))[0]


class Stream:
    """A plane with a workflow of one stage, and one stream to it. Its clock stands still: no session expires by itself."""

    def __init__(self, settings: PlaneSettings | None = None) -> None:
        self.ports = replace(memory_ports(), clock=VirtualClock())
        self.plane = ControlPlane(self.ports, server_id="mine", settings=settings)
        self.transport = FakeTransport()
        self.running: asyncio.Task[StreamEndedError | None] | None = None

    async def open(self, free: int) -> None:
        """Starts the plane and greets it."""
        definition = workflow("one", "only")
        await self.ports.registry.register(
            "default", definition, digest_of(definition), self.ports.clock.now()
        )
        await self.plane.start()
        hello = session_pb2.Hello(protocol_version=1, slots=9)
        hello.stages.add(workflow_name="one", workflow_version=1)
        self.transport.say(worker_pb2.WorkerItem(hello=hello), credits_item(free))
        self.running = asyncio.create_task(WorkSession(self.plane, self.transport).run())
        await self.transport.until("welcome")

    async def create(self) -> UUID:
        created = await self.plane.create_run(CreateRun("default", "one", b"{}"))
        assert isinstance(created, RunCreation)
        return created.run_id

    async def ended(self, *, talking: bool = False) -> StreamEndedError | None:
        """Waits for the end; ``talking`` has the worker send pings meanwhile, which acknowledge nothing."""
        assert self.running is not None
        async with asyncio.timeout(20):
            while talking and not self.running.done():
                self.transport.say()
                await asyncio.wait({self.running}, timeout=0.1)
            return await self.running

    async def ending(self) -> bool:
        """Whether the server has noticed that the stream is about to end."""
        return not self.plane.sessions.all()

    async def living(self) -> int:
        return len(await self.ports.sessions.list("default", limit=10))

    async def job(self, run_id: UUID) -> tuple[JobState, int]:
        """State of a run's only job and how often it was delivered."""
        jobs: Any = self.ports.persistence._state.jobs  # type: ignore[attr-defined]
        stages: Any = self.ports.persistence._state.stages  # type: ignore[attr-defined]
        return jobs[run_id, 1].state, stages[run_id][1].delivery

    async def close(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
        await self.plane.stop()


@pytest.fixture
async def stream() -> AsyncIterator[Stream]:
    made = Stream()
    yield made
    await made.close()


async def test_silence_ends_the_session_and_hands_its_jobs_on_at_a_delivery_s_cost() -> None:
    stream = Stream(BRISK)
    await stream.open(free=1)
    run_id = await stream.create()
    await stream.transport.until("offer")
    end = await stream.ended()
    assert end is not None
    assert end.item.reason == session_pb2.DISCONNECT_REASON_TIMED_OUT
    assert await stream.job(run_id) == (JobState.READY, 1)
    assert await stream.living() == 0
    await stream.close()


async def test_a_reader_that_ends_on_a_broken_connection_ends_no_lease(stream: Stream) -> None:
    await stream.open(free=1)
    run_id = await stream.create()
    await stream.transport.until("offer")
    stream.transport.broken = True
    stream.transport.end()
    assert await stream.ended() is None
    assert await stream.job(run_id) == (JobState.LEASED, 1)
    assert await stream.living() == 1
    assert stream.plane.sessions.all() == []


async def test_a_write_that_was_on_its_way_proves_no_peace(stream: Stream) -> None:
    """It began before the connection broke, and says nothing of what is at the other end now."""
    await stream.open(free=1)
    stream.transport.gate.clear()
    run_id = await stream.create()
    await stream.transport.blocked.wait()
    stream.transport.broken = True
    stream.transport.end()
    await eventually(stream.ending)
    stream.transport.gate.set()
    await stream.ended()
    assert await stream.job(run_id) == (JobState.LEASED, 1)
    assert await stream.living() == 1


async def test_a_reader_that_ends_in_peace_hands_on_and_says_goodbye(stream: Stream) -> None:
    await stream.open(free=1)
    run_id = await stream.create()
    await stream.transport.until("offer")
    stream.transport.end()
    assert await stream.ended() is None
    assert await stream.job(run_id) == (JobState.READY, 0)
    assert await stream.living() == 0
    assert stream.transport.kinds()[-1] == "session_end"


async def test_offers_that_never_left_go_back_when_the_stream_breaks(stream: Stream) -> None:
    await stream.open(free=3)
    stream.transport.gate.clear()
    runs = [await stream.create()]
    await stream.transport.blocked.wait()
    runs += [await stream.create() for _ in range(2)]

    async def leased() -> bool:
        return [await stream.job(run_id) for run_id in runs] == [(JobState.LEASED, 1)] * 3

    await eventually(leased)
    assert stream.running is not None
    stream.running.cancel()  # as gRPC does when the connection is gone
    await asyncio.gather(stream.running, return_exceptions=True)
    await stream.plane.flushed()
    assert [await stream.job(run_id) for run_id in runs] == [
        (JobState.LEASED, 1),  # nobody knows whether the worker got it
        (JobState.READY, 0),
        (JobState.READY, 0),
    ]


async def test_a_goodbye_waits_for_the_write_in_progress_and_takes_no_offers_along(stream: Stream) -> None:
    await stream.open(free=3)
    stream.transport.gate.clear()
    await stream.create()
    await stream.transport.blocked.wait()
    for _ in range(2):
        await stream.create()
    stream.transport.say(sequence=77)

    await eventually(stream.ending)
    stream.transport.gate.set()
    end = await stream.ended()
    assert end is not None
    assert end.item.reason == session_pb2.DISCONNECT_REASON_FRAME_INVALID
    kinds = stream.transport.kinds()
    assert kinds[-1] == "session_end"
    assert kinds.count("offer") == 1
    sequences = [frame.sequence for frame in stream.transport.frames]
    assert sequences == list(range(1, len(sequences) + 1))


async def test_a_worker_that_does_not_read_holds_up_no_end(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "GOODBYE_SECONDS", 0.01)
    await stream.open(free=1)
    stream.transport.gate.clear()
    await stream.create()
    stream.transport.say(sequence=77)
    assert await stream.ended() is not None
    assert stream.plane.sessions.all() == []


async def test_a_cancelled_stream_leaves_its_session_to_be_resumed(stream: Stream) -> None:
    await stream.open(free=1)
    run_id = await stream.create()
    await stream.transport.until("offer")
    assert stream.running is not None
    stream.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream.running
    assert await stream.job(run_id) == (JobState.LEASED, 1)
    assert await stream.living() == 1
    assert stream.plane.sessions.all() == []


async def test_a_fault_of_the_server_ends_the_stream_typed(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stream.open(free=1)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(session_module, "check_frame", fail)
    stream.transport.say()
    end = await stream.ended()
    assert end is not None
    assert end.item.reason == session_pb2.DISCONNECT_REASON_INTERNAL
    assert stream.transport.kinds()[-1] == "session_end"


async def test_a_draining_server_says_so_to_whoever_comes_meanwhile(stream: Stream) -> None:
    await stream.open(free=1)
    await stream.plane.drain()
    await stream.transport.until("drain")
    late = FakeTransport()
    late.say()
    end = await WorkSession(stream.plane, late).run()
    assert end is not None
    assert end.item.reason == session_pb2.DISCONNECT_REASON_SERVER_SHUTDOWN
    assert end.item.reconnect
    assert late.kinds() == ["session_end"]


async def test_a_worker_that_reads_nothing_is_cut_off_and_its_offers_go_back_at_no_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "GOODBYE_SECONDS", 0.01)
    stream = Stream(BRISK)
    await stream.open(free=2)
    stream.transport.gate.clear()
    first = await stream.create()
    await stream.transport.blocked.wait()
    second = await stream.create()
    end = await stream.ended(talking=True)
    assert end is not None
    assert end.item.reason == session_pb2.DISCONNECT_REASON_SLOW_READER
    assert end.item.reconnect
    await stream.plane.flushed()
    assert [await stream.job(run_id) for run_id in (first, second)] == [(JobState.READY, 0)] * 2
    assert stream.plane.counts.disconnects == {"SLOW_READER": 1}
    [row] = await stream.ports.sessions.list("default", limit=10)
    assert row.disconnect_reason == "SLOW_READER"
    await stream.close()


async def test_offers_that_are_never_acknowledged_go_to_others_at_no_cost() -> None:
    stream = Stream(BRISK)
    await stream.open(free=1)
    run_id = await stream.create()
    await stream.transport.until("offer")
    end = await stream.ended(talking=True)
    assert end is not None
    assert end.item.reason == session_pb2.DISCONNECT_REASON_SLOW_READER
    await stream.plane.flushed()
    assert await stream.job(run_id) == (JobState.READY, 0)
    await stream.close()


async def test_a_slow_reader_is_not_given_more_until_it_has_caught_up(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its smallest: one waiting offer is as much as may wait while leasing goes on."""
    await stream.open(free=9)
    [local] = stream.plane.sessions.all()
    stream.transport.gate.clear()
    await stream.create()
    await stream.transport.blocked.wait()
    monkeypatch.setattr(limits, "OUTBOX_LEASING_BYTES_MAX", 1)
    await stream.create()
    await eventually(lambda: _is(local.congested))
    waiting = await stream.create()
    assert await stream.job(waiting) == (JobState.READY, 0)
    monkeypatch.setattr(limits, "OUTBOX_LEASING_BYTES_MAX", 10**6)
    stream.transport.gate.set()

    async def leased() -> bool:
        return await stream.job(waiting) == (JobState.LEASED, 1)

    await eventually(leased)
    assert not local.congested


async def test_an_offer_for_which_there_is_no_room_goes_back_and_its_slot_stays_free(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stream.open(free=1)
    [local] = stream.plane.sessions.all()
    monkeypatch.setattr(limits, "OUTBOX_BYTES_MAX", 1)
    monkeypatch.setattr(limits, "OUTBOX_LEASING_BYTES_MAX", 1)
    run_id = await stream.create()
    await eventually(lambda: _is(stream.plane.counts.offers_returned == 1 and local.free_slots == 0))
    assert await stream.job(run_id) == (JobState.READY, 0)
    monkeypatch.setattr(limits, "OUTBOX_BYTES_MAX", 10**6)
    local.congested = False
    stream.plane.leaser.jobs_may_wait(local.route_ids)

    async def leased() -> bool:
        return await stream.job(run_id) == (JobState.LEASED, 1)

    await eventually(leased)


async def test_every_end_of_a_stream_has_a_reason(stream: Stream) -> None:
    await stream.open(free=1)
    [row] = await stream.ports.sessions.list("default", limit=10)
    assert row.disconnect_reason == ""
    stream.transport.broken = True
    stream.transport.end()
    await stream.ended()
    await stream.plane.flushed()
    [row] = await stream.ports.sessions.list("default", limit=10)
    assert (row.disconnect_reason, row.disconnected_at) == ("CONNECTION_LOST", stream.ports.clock.now())
    refused = FakeTransport()
    refused.say()
    assert await WorkSession(stream.plane, refused).run() is not None
    assert stream.plane.counts.disconnects == {"CONNECTION_LOST": 1, "FRAME_INVALID": 1}


async def _is(value: bool) -> bool:
    return value
