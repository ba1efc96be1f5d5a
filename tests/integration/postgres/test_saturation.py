"""What a stage costs a server that is busy: transactions, counted by PostgreSQL itself and not by time."""

import asyncio
from collections import Counter

import psycopg
import pytest
from pydantic import BaseModel

from stageline.v1 import payload_pb2, run_service_pb2
from stageline_engine.model.run import RunState
from stageline_engine.ports import RunFilter
from stageline_migrations import upgrade
from stageline_sdk import Context, Worker, Workflow, stage
from stageline_server.settings import Settings
from stageline_server.stores import postgres_ports
from tests.integration.server.running import Server, running
from tests.support.fixtures import CreateDatabase
from tests.waiting import eventually, eventually_sync

RUNS = 1000
STAGES = 3
TRANSACTIONS_PER_STAGE_MAX = 0.1


class Lockstep:
    """Holds every stage until it runs in all runs at once: then they end together, and the server has all it can do."""

    def __init__(self) -> None:
        self.waiting: Counter[str] = Counter()
        self.all_here = {stage_id: asyncio.Event() for stage_id in ("one", "two", "three")}

    async def wait(self, stage_id: str) -> None:
        self.waiting[stage_id] += 1
        if self.waiting[stage_id] == RUNS:
            self.all_here[stage_id].set()
        await self.all_here[stage_id].wait()


class Text(BaseModel):
    text: str


class Steps:
    """The lockstep of the test that runs."""

    now: Lockstep


@stage("one")
async def one(ctx: Context[Text]) -> Text:
    await Steps.now.wait("one")
    return ctx.input


@stage("two")
async def two(ctx: Context[Text]) -> Text:
    await Steps.now.wait("two")
    return ctx.input


@stage("three")
async def three(ctx: Context[Text]) -> Text:
    await Steps.now.wait("three")
    return ctx.input


FLOW = Workflow("flow", input=Text).pipe(one).pipe(two).pipe(three).build()


@pytest.mark.timeout(120)
async def test_at_saturation_ten_stages_share_a_transaction(create_database: CreateDatabase) -> None:
    """All that reaches the database counts: creations, leases, reports, heartbeats, timers and reads."""
    Steps.now = Lockstep()
    url = create_database(upgrade)
    async with postgres_ports(Settings(), url) as ports, running(ports) as server:
        worker = Worker(FLOW, concurrency=RUNS)
        working = asyncio.create_task(worker.run(server.application.address))
        await _create_all(server)

        async def all_have_ended() -> bool:
            which = RunFilter("default", states=(RunState.PENDING, RunState.RUNNING))
            return not (await ports.queries.list_runs(which, limit=1)).runs

        async with asyncio.timeout(90):
            await Steps.now.all_here["three"].wait()
        await eventually(all_have_ended, what="the end of every run")
        which = RunFilter("default", states=(RunState.COMPLETED,))
        assert len((await ports.queries.list_runs(which, limit=RUNS + 1)).runs) == RUNS
        worker.stop()
        await working
    transactions = _transactions_of(url)
    assert 0 < transactions / (RUNS * STAGES) <= TRANSACTIONS_PER_STAGE_MAX


async def _create_all(server: Server) -> None:
    payload = payload_pb2.Payload(json=b'{"text":"x"}')
    await eventually(lambda: _is_registered(server), what="the workflow")
    requests = [
        run_service_pb2.CreateRunRequest(workflow_name=FLOW.name, input=payload, request_id=f"run-{number}")
        for number in range(RUNS)
    ]
    answer = await server.runs.BatchCreateRuns(run_service_pb2.BatchCreateRunsRequest(requests=requests))
    assert all(result.HasField("created") for result in answer.results)


async def _is_registered(server: Server) -> bool:
    return await server.ports.registry.get("default", FLOW.name) is not None


def _transactions_of(url: str) -> int:
    """All transactions of a database since it was made: its connections have told theirs when they are gone."""
    with psycopg.connect(url, autocommit=True) as connection:

        def alone() -> bool:
            others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            return connection.execute(others).fetchone() == (1,)

        eventually_sync(alone, what="the end of the other connections")
        counted = (
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        )
        row = connection.execute(counted).fetchone()
    assert row is not None
    return int(row[0])
