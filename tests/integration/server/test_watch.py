"""Watching a run: what is there, then what comes, each event once, to the end."""

import asyncio

import grpc

from stageline.v1 import event_pb2, run_service_pb2
from stageline_engine.commands import Completed
from tests.integration.server.running import Server, documents, refused
from tests.waiting import eventually

ALL = {"extract": b"1", "left": b"2", "right": b"3"}
WITHIN_SECONDS = 20


async def watched(server: Server, run_id: str, after: int = 0) -> list[event_pb2.Event]:
    """Every event of a watch, to its end."""
    call = server.runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=run_id, after_sequence=after))
    return [response.event async for response in call]


async def test_a_finished_run_is_told_whole_and_the_stream_ends(server: Server) -> None:
    await server.register(documents())
    run_id = (await server.create()).run_id
    await server.complete(ALL)
    events = await asyncio.wait_for(watched(server, run_id), WITHIN_SECONDS)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert (events[0].type, events[-1].type) == ("workflow:created", "workflow:completed")
    assert {event.workflow_name for event in events} == {"documents"}
    started = [event.stage_id for event in events if event.type == "stage:started"]
    assert started == ["extract", "left", "right"]


async def test_a_watch_goes_on_where_the_last_one_stopped(server: Server) -> None:
    await server.register(documents())
    run_id = (await server.create()).run_id
    await server.complete(ALL)
    events = await watched(server, run_id)
    for after in range(len(events) + 1):
        assert await watched(server, run_id, after) == events[after:]


async def test_events_come_live(server: Server) -> None:
    await server.register(documents())
    run_id = (await server.create()).run_id
    call = server.runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=run_id))
    seen: list[str] = []

    async def until(wanted: str) -> None:
        while wanted not in seen:
            seen.append((await call.read()).event.type)

    await asyncio.wait_for(until("workflow:started"), WITHIN_SECONDS)
    (offer,) = await server.lease()
    await asyncio.wait_for(until("stage:started"), WITHIN_SECONDS)
    await server.report(offer, Completed(b"1"))
    await asyncio.wait_for(until("run:advanced"), WITHIN_SECONDS)
    await server.complete({"left": b"2", "right": b"3"})
    await asyncio.wait_for(until("workflow:completed"), WITHIN_SECONDS)
    assert await call.read() is grpc.aio.EOF


async def test_a_place_beyond_the_log_is_refused(server: Server) -> None:
    await server.register(documents())
    run_id = (await server.create()).run_id
    for after in (-1, 1_000):
        request = run_service_pb2.WatchRunRequest(run_id=run_id, after_sequence=after)
        told = await refused(server.runs.WatchRun(request).read())
        assert (told.reason, told.fields) == ("INVALID_FIELD", ["after_sequence"])


async def test_a_reader_that_leaves_is_forgotten(server: Server) -> None:
    await server.register(documents())
    run_id = (await server.create()).run_id
    call = server.runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=run_id))
    await call.read()
    hub = server.application.plane.hub
    assert hub._watches
    call.cancel()

    async def forgotten() -> bool:
        return not hub._watches

    await eventually(forgotten, what="the watch is forgotten")


async def test_a_drain_sends_watchers_elsewhere(server: Server) -> None:
    await server.register(documents())
    run_id = (await server.create()).run_id
    call = server.runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=run_id))
    for _ in range(2):
        await call.read()
    stopping = asyncio.create_task(server.application.stop())
    told = await refused(asyncio.wait_for(call.read(), WITHIN_SECONDS))
    assert (told.code, told.reason, told.retry) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", True)
    await asyncio.wait_for(stopping, WITHIN_SECONDS)


async def test_pages_of_events_hold_each_once(server: Server) -> None:
    await server.register(documents())
    run_id = (await server.create()).run_id
    await server.complete(ALL)
    request = run_service_pb2.ListRunEventsRequest
    found, token = [], ""
    while True:
        page = await server.runs.ListRunEvents(request(run_id=run_id, page_size=3, page_token=token))
        found += list(page.events)
        token = page.next_page_token
        if not token:
            break
    assert found == await watched(server, run_id)
    first = (await server.runs.ListRunEvents(request(run_id=run_id, page_size=1))).next_page_token
    wrong = request(run_id=run_id, after_sequence=1, page_token=first)
    assert (await refused(server.runs.ListRunEvents(wrong))).reason == "PAGE_TOKEN_INVALID"
