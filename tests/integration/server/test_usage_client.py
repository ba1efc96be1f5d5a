"""`client.usage` and `stageline usage` against a real server: what they book, list, sum and show."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from stageline_cli.group import stageline
from stageline_engine.commands import PurgeHistory, SequenceEvents
from stageline_sdk import Client, NotFoundError, SyncClient, UsageFilter
from stageline_sdk._wire import StoredPayload
from stageline_sdk.ai import UsageRecord
from tests.integration.server.running import Server, documents

DAY_ONE = datetime(2030, 1, 1, 12, tzinfo=UTC)


def call(cost: str | None, topic: str = "page", **fields: object) -> UsageRecord:
    known = {"model": "fast", "input_tokens": 10, "output_tokens": 5, "started_at": DAY_ONE} | fields
    return UsageRecord(topic=topic, cost_usd=None if cost is None else Decimal(cost), **known)  # type: ignore[arg-type]


CALLS = [
    call("0.25"),
    call("1.5", "page.title", model="slow", started_at=DAY_ONE + timedelta(days=1)),
    call(None, "pages", model="slow", provider="openai"),
]


async def cli(server: Server, *arguments: str) -> Result:
    runner = CliRunner(env={"STAGELINE_ADDRESS": server.application.address, "COLUMNS": "200"})
    return await asyncio.to_thread(runner.invoke, stageline, ["usage", *arguments])


async def test_calls_are_booked_once_listed_and_summed(server: Server) -> None:
    async with Client(server.application.address) as client:
        first = await client.usage.record(CALLS)
        again = await client.usage.record([*CALLS, call("1")], run_id=str(uuid4()))
        listed = [each async for each in client.usage.list(page_size=2)]
        page = [each.topic async for each in client.usage.list(UsageFilter(topic="page"))]
        sums = await client.usage.aggregate(by=["model", "day"])
        (total,) = await client.usage.aggregate()

    assert (first.recorded_count, first.already_recorded_count, dict(first.refused)) == (3, 0, {})
    assert (again.recorded_count, len(again.refused)) == (0, 4), "there is no such run"
    assert [each.id for each in listed] == [CALLS[1].id, *sorted((CALLS[0].id, CALLS[2].id), reverse=True)]
    assert {each.id: each.cost_usd for each in listed} == {each.id: each.cost_usd for each in CALLS}
    assert sorted(page) == ["page", "page.title"]
    assert [(each.group, each.cost_usd, each.unknown_cost_count) for each in sums] == [
        (("slow", "2030-01-02"), Decimal("1.5"), 0),
        (("fast", "2030-01-01"), Decimal("0.25"), 0),
        (("slow", "2030-01-01"), Decimal(0), 1),
    ]
    assert (total.group, total.call_count, total.cost_usd, total.input_tokens) == ((), 3, Decimal("1.75"), 30)


async def test_the_sync_client_does_the_same(server: Server) -> None:
    def talk() -> tuple[int, list[str], Decimal]:
        with SyncClient(server.application.address) as client:
            booked = client.usage.record(CALLS).recorded_count
            topics = [each.topic for each in client.usage.list(UsageFilter(model="slow"))]
            (total,) = client.usage.aggregate(UsageFilter(model="slow"))
            return booked, topics, total.cost_usd

    assert await asyncio.to_thread(talk) == (3, ["page.title", "pages"], Decimal("1.5"))


async def test_prompts_come_where_they_are_asked_for_and_named_by_hash_where_not(server: Server) -> None:
    async with Client(server.application.address) as client:
        await client.usage.record([call("1", prompt={"ask": 1})])
        (found,) = [each async for each in client.usage.list(include_contents=True)]
    assert isinstance(found.prompt, StoredPayload), "the server keeps hashes unless it is told to keep texts"
    assert (found.prompt.size_bytes, found.response) == (len('{"ask":1}'), None)


async def test_the_calls_of_a_purged_run_are_still_found(server: Server) -> None:
    await server.register(documents())
    run_id = (await server.create(b'{"url":"x"}')).run_id
    async with Client(server.application.address) as client:
        await client.usage.record(CALLS, run_id=run_id, stage_id="left")
        await client.cancel_run(run_id)
        kernel = server.application.plane.kernel
        await kernel.dispatch(SequenceEvents())
        await kernel.dispatch(PurgeHistory(runs=timedelta(seconds=-1)))
        with pytest.raises(NotFoundError):
            await client.get_run(run_id)
        (total,) = await client.usage.aggregate(UsageFilter(run_id=run_id))
        with pytest.raises(NotFoundError):
            await client.usage.aggregate(UsageFilter(run_id=str(uuid4())))
    assert (total.call_count, total.cost_usd) == (3, Decimal("1.75"))


async def test_the_command_shows_sums_unknown_costs_and_a_total(server: Server) -> None:
    assert "No AI calls" in (await cli(server)).stderr
    async with Client(server.application.address) as client:
        await client.usage.record(CALLS)

    rows = [line.split() for line in (await cli(server)).stdout.splitlines() if line.strip()]
    assert rows[0][:2] == ["MODEL", "CALLS"]
    assert ["slow", "2", "20", "10", "0", "1.50", "1"] in rows
    assert ["total", "3", "30", "15", "0", "1.75", "1"] in rows
    rows = [line.split() for line in (await cli(server, "--by", "provider,day")).stdout.splitlines()]
    assert ["openai", "2030-01-01", "1", "10", "5", "0", "unknown", "1"] in rows, "unknown is not 0"

    told = json.loads((await cli(server, "--topic", "page", "--by", "topic", "--json")).stdout)
    assert [(each["group"], each["cost_usd"]) for each in told] == [
        ({"topic": "page.title"}, "1.5"),
        ({"topic": "page"}, "0.25"),
    ]
    until = (await cli(server, "--until", "2030-01-02T00:00Z", "--json")).stdout
    assert sum(each["call_count"] for each in json.loads(until)) == 2
    newest = await cli(server, "--calls", "1")
    assert "page.title" in newest.stdout
    assert len(json.loads((await cli(server, "--calls", "2", "--json")).stdout)) == 2


@pytest.mark.parametrize("arguments", [["--by", "colour"], ["--by", "day,day"], ["--since", "soon"]])
async def test_what_the_command_does_not_understand_is_told(server: Server, arguments: list[str]) -> None:
    assert (await cli(server, *arguments)).exit_code == 2
