"""Events over the wire and to plugins: all of them, in order per run, from a cursor on, whatever happens on the way."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest

from stageline.v1 import event_service_pb2 as messages
from stageline.v1 import run_service_pb2
from stageline.v1.event_service_pb2_grpc import EventServiceStub
from stageline_engine import limits
from stageline_engine.commands import EventsSequenced, SequenceEvents
from stageline_engine.kernel import Kernel
from stageline_engine.plugins import PluginEvent, define_plugin, run_plugins
from stageline_engine.ports import OutboxSettlement, PurgeBefore
from stageline_engine.records import ChangeSet
from stageline_engine.testing import CollectingSink, waits_until_released
from stageline_server.app import Application
from stageline_server.dispatch.ports import Ports
from stageline_server.services.event_stream import EVENTS_PER_READ
from stageline_server.stores import memory_ports
from tests.integration.server.running import Server, documents, refused, run_uuid, running
from tests.waiting import eventually

Request = messages.StreamEventsRequest


class Reader:
    """Reads a stream of events; ``cursor`` is where it has come to."""

    def __init__(self, server: Server, **request: Any) -> None:
        self.call = EventServiceStub(server.channel).StreamEvents(Request(**request))
        self.cursor: bytes = request.get("cursor", b"")
        self.events: list[Any] = []

    async def answer(self) -> None:
        """Waits for one message."""
        response: Any = await asyncio.wait_for(self.call.read(), 20)
        assert response is not grpc.aio.EOF
        self.events += response.events
        self.cursor = response.cursor

    async def until(self, count: int) -> list[tuple[str, int]]:
        """Reads until it has so many events."""
        while len(self.events) < count:
            await self.answer()
        return [(event.run_id, event.sequence) for event in self.events]


async def cancel(server: Server, run_id: str) -> None:
    await server.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id=run_id))


async def test_what_is_kept_comes_first_and_then_what_happens(server: Server) -> None:
    await server.register(documents())
    run = await server.create()
    reader = Reader(server)
    assert await reader.until(2) == [(run.run_id, 1), (run.run_id, 2)]
    one = reader.events[0]
    assert (one.type, one.namespace, one.workflow_name) == ("workflow:created", "default", "documents")
    await cancel(server, run.run_id)
    assert await reader.until(4) == [(run.run_id, number) for number in (1, 2, 3, 4)]


async def test_a_cursor_resumes_after_what_was_dealt_with(server: Server) -> None:
    await server.register(documents())
    first = await server.create()
    reader = Reader(server)
    await reader.until(2)
    reader.call.cancel()
    second = await server.create()
    again = Reader(server, cursor=reader.cursor)
    assert await again.until(2) == [(second.run_id, 1), (second.run_id, 2)]
    await cancel(server, first.run_id)
    assert (await again.until(4))[2:] == [(first.run_id, 3), (first.run_id, 4)]


async def test_from_now_leaves_out_what_was(server: Server) -> None:
    await server.register(documents())
    await server.create()
    reader = Reader(server, from_now=True)
    await reader.answer()
    assert reader.events == []
    run = await server.create()
    assert await reader.until(2) == [(run.run_id, 1), (run.run_id, 2)]


async def test_filters_leave_out_and_the_cursor_goes_on(server: Server) -> None:
    await server.register(documents())
    run = await server.create()
    reader = Reader(server, types=["workflow:c*"])
    await cancel(server, run.run_id)
    await reader.until(2)
    assert [event.type for event in reader.events] == ["workflow:created", "workflow:cancelled"]
    other = Reader(server, workflow_name="another")
    while other.cursor != reader.cursor:
        await other.answer()
    assert other.events == []
    elsewhere = Reader(server, namespace="elsewhere")
    while elsewhere.cursor != reader.cursor:
        await elsewhere.answer()
    assert elsewhere.events == []


async def test_more_than_one_read_comes_whole_from_any_cursor(server: Server) -> None:
    await server.register(documents())
    runs = [await server.create() for _ in range(EVENTS_PER_READ // 2 + 20)]
    expected = {(run.run_id, number) for run in runs for number in (1, 2)}
    reader = Reader(server)
    found = await reader.until(len(expected))
    assert set(found) == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    "request_",
    [Request(cursor=b"x"), Request(cursor=b"\x01" + b"\x7f" * 16), Request(cursor=b"\x02" + b"\0" * 16)],
)
async def test_a_cursor_that_is_none_is_refused(
    server: Server, request_: messages.StreamEventsRequest
) -> None:
    answer = await refused(EventServiceStub(server.channel).StreamEvents(request_).read())
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CURSOR_INVALID")


async def test_too_many_types_are_refused(server: Server) -> None:
    request = Request(types=["*"] * (limits.EVENT_PATTERNS_MAX + 1))
    answer = await refused(EventServiceStub(server.channel).StreamEvents(request).read())
    assert answer.fields == ["types"]


async def test_a_cursor_older_than_the_log_is_told_the_oldest(server: Server) -> None:
    await server.register(documents())
    await server.create()
    reader = Reader(server)
    await reader.until(2)
    last = [(await server.create()).run_id for _ in range(3)][-1]
    await reader.until(8)
    async with server.ports.persistence.begin() as work:
        await work.purge_records(PurgeBefore(log=server.ports.clock.now() + timedelta(hours=1)), 100)
        await work.commit(ChangeSet())
    old = Request(cursor=b"\x01" + (1).to_bytes(8, "big") + b"\x7f" + b"\xff" * 7)
    answer = await refused(EventServiceStub(server.channel).StreamEvents(old).read())
    assert answer.reason == "CURSOR_INVALID"
    again = Reader(server, cursor=b64decode(answer.metadata["oldest_cursor"]))
    assert await again.until(2) == [(last, 1), (last, 2)]


async def test_nothing_is_missed_while_many_commit_at_once(server: Server) -> None:
    await server.register(documents())
    reader, runs = Reader(server), []

    async def write() -> None:
        for _ in range(15):
            run = await server.create()
            await cancel(server, run.run_id)
            runs.append(run.run_id)

    async def read() -> None:
        nonlocal reader
        while len(reader.events) < 8 * 15 * 4:
            await reader.until(len(reader.events) + 1)
            events = reader.events
            reader.call.cancel()
            reader = Reader(server, cursor=reader.cursor)
            reader.events = events

    await asyncio.gather(asyncio.wait_for(read(), 50), *(write() for _ in range(8)))
    found: dict[str, list[int]] = {}
    for event in reader.events:
        found.setdefault(event.run_id, []).append(event.sequence)
    assert found == {run_id: [1, 2, 3, 4] for run_id in runs}


class Taken:
    """A plugin's handler that keeps what it takes, and fails where it is told to."""

    def __init__(self) -> None:
        self.events: list[PluginEvent] = []
        self.fails = False

    async def __call__(self, event: PluginEvent) -> None:
        if self.fails:
            raise RuntimeError("told to")
        self.events.append(event)

    def of(self, run_id: str) -> list[int]:
        return [event.sequence for event in self.events if str(event.run_id) == run_id]


@pytest.fixture
async def plugged(ports: Ports) -> AsyncIterator[tuple[Server, Taken, Taken]]:
    good, bad = Taken(), Taken()
    bad.fails = True
    sinks = run_plugins([define_plugin("good", ["*"], good), define_plugin("bad", ["workflow:*"], bad)])
    async with running(replace(ports, sinks=sinks)) as server:
        yield server, good, bad


async def test_plugins_are_told_at_once_and_one_apart_from_the_other(
    plugged: tuple[Server, Taken, Taken],
) -> None:
    server, good, bad = plugged
    await server.register(documents())
    run = await server.create()
    await cancel(server, run.run_id)

    async def told(taken: Taken) -> bool:
        return taken.of(run.run_id) == [1, 2, 3, 4]

    await eventually(lambda: told(good), what="the events at the good plugin")
    assert bad.events == []
    bad.fails = False

    async def told_after_the_wait() -> bool:
        return bad.of(run.run_id) == [1, 2, 4]

    await eventually(told_after_the_wait, what="the events at the other one, after its wait")
    assert good.of(run.run_id) == [1, 2, 3, 4]


async def test_a_dead_letter_names_its_plugin_and_is_skipped_by_name(
    plugged: tuple[Server, Taken, Taken],
) -> None:
    server, good, bad = plugged
    await server.register(documents())
    run = await server.create()

    async def tried() -> bool:
        return bool(good.of(run.run_id))

    await eventually(tried, what="the first try")
    events = EventServiceStub(server.channel)
    await give_up(server.application, "bad")
    [letter] = (await events.ListDeadLetters(messages.ListDeadLettersRequest(plugin="bad"))).dead_letters
    assert (letter.plugin, letter.event.sequence) == ("bad", 1)
    assert letter.HasField("dead_time")
    assert not (await events.ListDeadLetters(messages.ListDeadLettersRequest(plugin="good"))).dead_letters
    bad.fails = False
    request = messages.ReplayDeadLettersRequest(dead_letter_ids=[letter.dead_letter_id], skip=True)
    assert (await events.ReplayDeadLetters(request)).replayed_count == 1

    async def told() -> bool:
        return bad.of(run.run_id) == [2]

    await eventually(told, what="what comes after the skipped event")


async def give_up(application: Application, consumer: str) -> None:
    """Dead-letters what a consumer refuses, as hours of tries would."""
    ports = application.plane.ports
    async with ports.persistence.begin() as work:
        later = ports.clock.now() + timedelta(hours=1)
        claimed = await work.claim_outbox(consumer, later, 10, later)
        await work.commit(ChangeSet())
    async with ports.persistence.begin() as work:
        dead = [
            OutboxSettlement(one.run_id, later, 0, 20, dead_at=ports.clock.now(), last_error="told to")
            for one in claimed
        ]
        await work.settle_outbox(consumer, dead)
        await work.commit(ChangeSet())


async def test_a_plugin_is_told_of_all_that_happens_from_the_moment_that_its_server_serves() -> None:
    """Another server, which does not have the plugin, places the events before this one's first flush can."""
    sink = CollectingSink()
    ports = memory_ports({"late": sink})
    other = Kernel(ports.persistence, ports.registry, ports.clock, ports.ids)
    async with AsyncExitStack() as stack, ports.persistence.begin() as busy:
        await busy.sequence_events(ports.clock.now(), 1)
        first_in_line = await waits_until_released(other.dispatch(SequenceEvents()))
        server = await stack.enter_async_context(running(ports))
        await server.register(documents())
        run = await server.create()
        await busy.commit(ChangeSet())
        stack.push_async_callback(told_of, sink, run_uuid(run))
    assert (await first_in_line) == EventsSequenced(1)


async def told_of(sink: CollectingSink, run_id: UUID) -> None:
    async def is_told() -> bool:
        return [event.type for event in sink.taken if event.run_id == run_id][:1] == ["workflow:created"]

    await eventually(is_told, what="the first event of the run", within=timedelta(seconds=5))
