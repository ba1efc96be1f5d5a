"""What looks after a server, through the SDK: events of all runs, notes from outside, logs as they come, ticks."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from stageline_engine.ports import LogLine
from stageline_sdk import Client, EventBatch, InvalidArgumentError, NotFoundError
from stageline_sdk.runs import LogLine as ShownLine
from stageline_server.settings import Settings
from tests.integration.server.running import ANY_PORT, Server, documents, run_uuid, running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client(server.application.address) as opened:
        yield opened


async def test_events_are_streamed_and_resumed(server: Server, client: Client) -> None:
    await server.register(documents())
    run = await server.create()

    async def first(batches: Any) -> EventBatch:
        async for batch in batches:
            if batch.events:
                await batches.aclose()
                return batch  # type: ignore[no-any-return]
        raise AssertionError("the stream has ended")

    batch = await asyncio.wait_for(first(client.stream_events(types=["workflow:*"])), 20)
    assert [event.run_id for event in batch.events] == [run.run_id] * 2
    await client.cancel_run(run.run_id)
    rest = await asyncio.wait_for(first(client.stream_events(cursor=batch.cursor)), 20)
    assert [event.sequence for event in rest.events] == [3, 4]
    with pytest.raises(InvalidArgumentError):
        await first(client.stream_events(cursor=b"none"))


async def test_11_10_115_notes_from_outside_are_kept_once_and_found_by_each_filter(
    server: Server, client: Client
) -> None:
    await server.register(documents())
    run_id = (await server.create()).run_id
    note: dict[str, Any] = {"annotation_id": "n-1", "actor": "user:jane:2", "emit_event": True}
    assert await client.annotate_run(run_id, "approval.approvers", ["jane"], **note)
    assert not await client.annotate_run(run_id, "approval.approvers", ["jane"], **note)
    assert await client.annotate_run(run_id, "trigger.source", "cron", scope="ai_call", scope_id="c-7")

    async def keys(**which: Any) -> list[str]:
        return [each.key async for each in client.annotations(run_id, **which)]

    [jane] = [each async for each in client.annotations(run_id, actor_kind="user")]
    assert (jane.actor, jane.value) == ("user:jane:2", ["jane"])
    assert await keys() == ["approval.approvers", "trigger.source"]
    assert await keys(key_prefix="trigger") == await keys(scope="ai_call") == ["trigger.source"]
    assert await keys(scope_id="c-7") == await keys(since=jane.at + timedelta(microseconds=1))
    assert await keys(actor_id="jane") == await keys(until=jane.at + timedelta(microseconds=1))
    assert await keys(generation=9) == []
    with pytest.raises(NotFoundError):
        await client.annotate_run("01920000-0000-7000-8000-000000000000", "a", 1)
    with pytest.raises(InvalidArgumentError):
        await client.annotate_run(run_id, "", 1)


async def test_11_4_53_logs_are_followed_until_the_run_has_ended(server: Server, client: Client) -> None:
    await server.register(documents())
    run = await server.create()
    logs = server.application.plane.logs

    def log(message: str) -> None:
        now = server.ports.clock.now()
        logs.add([LogLine(run_uuid(run), 1, 1, "INFO", message, {}, now, generation=1)])

    async def follow() -> list[ShownLine]:
        found = []
        async for line in client.list_logs(run.run_id, follow=True):
            found.append(line)
            if line.message == "before":
                log("after")
            else:
                await client.cancel_run(run.run_id)
        return found

    log("before")
    lines = await asyncio.wait_for(follow(), 30)
    assert [(line.message, line.generation) for line in lines] == [("before", 1), ("after", 1)]


async def test_a_tick_purges_what_is_past_keeping(server: Server) -> None:
    settings = Settings(listen=ANY_PORT, run_retention=timedelta(microseconds=1))
    async with running(replace(server.ports), settings) as other, Client(other.application.address) as client:
        await other.register(documents())
        run_id = (await other.create()).run_id
        kept = (await other.create()).run_id
        await client.cancel_run(run_id)
        done = await client.maintenance_tick()
        assert done.purged_runs == 1
        assert not done.more
        with pytest.raises(NotFoundError):
            await client.get_run(run_id)
        assert (await client.get_run(kept)).id == kept
        assert (await client.maintenance_tick()).purged_runs == 0
