"""Two servers on one database, each with connections and memory of its own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from stageline_engine.adapters.postgres import PostgresClock, PostgresDatabase
from stageline_engine.errors import InvariantError
from stageline_engine.model.run import RunState
from stageline_engine.ports import LogLine, OutboxSettlement
from stageline_engine.records import ChangeSet
from stageline_engine.testing import Scene, waits_until_released, workflow
from stageline_engine.testing.conformance.outbox import CLAIM, claim, settle, told
from tests.integration.postgres.backends import backend_on
from tests.waiting import eventually


@pytest.fixture
async def servers(database_url: str) -> AsyncIterator[tuple[Scene, Scene]]:
    async with PostgresDatabase(database_url) as first, PostgresDatabase(database_url) as second:
        yield Scene(backend_on(first), seed=1), Scene(backend_on(second), seed=2)


async def test_versions_are_counted_without_a_gap(servers: tuple[Scene, Scene]) -> None:
    definitions = [workflow("flow", *(f"s{n}" for n in range(1, size))) for size in range(2, 10)]
    registered = await asyncio.gather(
        *[server.register(definition) for definition in definitions for server in servers]
    )
    assert {one.version for one in registered} == set(range(1, len(definitions) + 1))
    assert len({(one.version, one.digest) for one in registered}) == len(definitions)
    routes = [route_id for one in registered[::2] for route_id in one.route_ids]
    assert len(routes) == len(set(routes))


async def test_a_version_stored_by_another_server_is_soon_the_newest(servers: tuple[Scene, Scene]) -> None:
    one, other = servers
    await one.register(workflow("flow", "a"))
    assert await one.backend.registry.get("default", "flow") is not None
    newer = await other.register(workflow("flow", "a", "b"))

    async def is_known() -> bool:
        return await one.backend.registry.get("default", "flow") == newer

    await eventually(is_known, what="the newer version")


async def test_a_cancelled_run_has_no_job_to_claim(servers: tuple[Scene, Scene]) -> None:
    """The claimer looked before the cancellation, and locks after it: what it finds is looked at again."""
    one, other = servers
    registered = await one.register(workflow("flow", "a"))
    run_id = await one.create("flow")
    async with one.backend.persistence.begin() as claimer:
        assert len((await claimer.claim_jobs(registered.route_ids, 1)).jobs) == 1
        cancelling = await waits_until_released(other.cancel(run_id))
    await cancelling
    assert (await one.details(run_id)).run.state is RunState.CANCELLED
    assert await other.lease(await other.open_session(), registered) == ()


async def test_batches_that_share_runs_in_any_order_do_not_deadlock(servers: tuple[Scene, Scene]) -> None:
    one, other = servers
    await one.register(workflow("flow", "a"))
    run_ids = [await one.create("flow") for _ in range(20)]

    async def touch(scene: Scene, order: list[UUID]) -> None:
        for _ in range(5):
            async with scene.backend.persistence.begin() as work:
                await work.load_runs(dict.fromkeys(order, frozenset({1})))

    await asyncio.gather(
        touch(one, run_ids), touch(other, run_ids[::-1]), touch(one, run_ids[5:] + run_ids[:5])
    )


async def test_a_stream_that_grows_while_it_is_settled_is_settled_and_goes_on(
    servers: tuple[Scene, Scene], database: PostgresDatabase
) -> None:
    """The settlement looked before new events were placed in the stream, and had its lock after that."""
    one, other = servers
    await one.register(workflow("flow", "a"))
    run_id = await one.create("flow")
    assert told(await claim(one)) == {run_id: [1, 2]}
    await one.cancel(run_id)

    async def someone_waits_for_a_row() -> bool:
        return bool(
            await database.run(b"SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
        )

    async with other.backend.persistence.begin() as sequencer:
        assert await sequencer.sequence_events(other.clock.now(), 100) == 1
        taken = OutboxSettlement(run_id, one.clock.now() + CLAIM, published_up_to=2)
        settling = asyncio.create_task(settle(one, taken))
        await eventually(someone_waits_for_a_row, what="the settlement behind the sequencer's lock")
        await sequencer.commit(ChangeSet())
    await settling
    assert told(await claim(other)) == {run_id: [3, 4]}


async def test_log_lines_become_visible_in_the_order_of_their_ids(servers: tuple[Scene, Scene]) -> None:
    """A reader that goes on after the last id that it saw misses no line, though two servers write at once."""
    one, other = servers
    await one.register(workflow("flow", "a"))
    run_id = await one.create("flow")
    line = LogLine(run_id, 1, 1, "INFO", "nul \0 inside", {}, one.clock.now())

    async def write(scene: Scene, count: int) -> None:
        for n in range(count):
            await scene.backend.logs.append([replace(line, metadata={"n": n, "i": i}) for i in range(10)])

    async def follow(until: int) -> list[int]:
        seen: list[int] = []
        while len(seen) < until:
            after_id = seen[-1] if seen else 0
            seen += [
                found.id
                for found in await one.backend.logs.list("default", run_id, after_id=after_id, limit=7)
            ]
        return seen

    *_, seen = await asyncio.gather(write(one, 20), write(other, 20), follow(400))
    stored = await one.backend.logs.list("default", run_id, limit=1000)
    assert seen == [found.id for found in stored]
    assert {found.message for found in stored} == {"nul \ufffd inside"}


async def test_clocks_agree_on_the_databases_time(database_url: str) -> None:
    async with PostgresDatabase(database_url) as first, PostgresDatabase(database_url) as second:
        clocks = PostgresClock(first), PostgresClock(second)
        with pytest.raises(InvariantError, match="refresh"):
            clocks[0].now()
        for clock in clocks:
            await clock.refresh()
        ((before,),) = await first.run(b"SELECT clock_timestamp()")
        told = [clock.now() for clock in clocks]
        ((after,),) = await first.run(b"SELECT clock_timestamp()")
        slack = timedelta(seconds=5)
        assert all(before - slack <= one <= after + slack for one in told)
        assert clocks[0].now() >= told[0]
