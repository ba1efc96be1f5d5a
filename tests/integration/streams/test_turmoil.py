"""Two servers, unruly workers, a database that comes and goes: every run comes to its end, and each stage once."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from stageline.v1 import report_pb2
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.model.run import RunState
from stageline_engine.testing.definitions import workflow
from stageline_server.dispatch.ports import Ports
from stageline_server.dispatch.settings import PlaneSettings
from tests.integration.streams.unruly import UnrulyWorker
from tests.support.faults import FaultyPersistence
from tests.support.plane import Deployment, PlaneServer
from tests.waiting import eventually

RUNS = 40
SETTINGS = PlaneSettings(
    session_timeout=timedelta(seconds=3),
    heartbeat_interval=timedelta(seconds=0.02),
    recheck_interval=timedelta(seconds=0.2),
)


async def create_some(server: PlaneServer, chance: random.Random) -> list[UUID]:
    """Creates runs and cancels a few, in spite of outages."""
    runs: list[UUID] = []
    while len(runs) < RUNS:
        try:
            runs.append(await server.create("chain", idempotency_key=f"run-{len(runs)}"))
            if chance.random() < 0.1:
                await server.cancel(chance.choice(runs))
        except StorageUnavailableError:
            continue
        await asyncio.sleep(0)
    return runs


async def shake(faults: list[FaultyPersistence], chance: random.Random, workers: list[UnrulyWorker]) -> None:
    """Takes the database away and back again, each time that the workers have had a few more streams."""
    for round_number in range(1, 6):

        async def enough(count: int = 3 * round_number) -> bool:
            return sum(worker.streams for worker in workers) >= count

        await eventually(enough, what="streams")
        fault = chance.choice(faults)
        fault.lose_commits += 2
        fault.down = True
        await asyncio.wait({asyncio.create_task(workers_go_on(workers))}, timeout=5)
        fault.down = False


async def workers_go_on(workers: list[UnrulyWorker]) -> None:
    before = sum(worker.streams for worker in workers)

    async def more() -> bool:
        return sum(worker.streams for worker in workers) > before

    await eventually(more, what="another stream")


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_run_comes_to_its_end(deployment: Deployment, seed: int) -> None:
    chance, faults = random.Random(seed), list[FaultyPersistence]()

    def change(ports: Ports) -> Ports:
        faults.append(FaultyPersistence(ports.persistence))
        return replace(ports, persistence=faults[-1])

    servers = [await deployment.serve(SETTINGS, change) for _ in range(2)]
    await servers[0].register(workflow("chain", "first", ["left", "right"], "last"))
    workers = [UnrulyWorker(servers, slots, 100 * seed + slots) for slots in (1, 2, 3, 5)]
    working = [asyncio.create_task(worker.work()) for worker in workers]
    shaking = asyncio.create_task(shake(faults, chance, workers))
    runs = await create_some(servers[0], chance)
    await shaking
    for worker in workers:
        worker.calm = True
    ended = asyncio.gather(*(until_ended(servers[0], run_id) for run_id in runs))
    parts: set[asyncio.Future[Any]] = {ended, *working}
    await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    for task in working:
        if task.done():
            task.result()
        task.cancel()
    states = [details.run.state for details in await ended]
    assert set(states) <= {RunState.COMPLETED, RunState.CANCELLED}
    assert states.count(RunState.COMPLETED) >= RUNS / 2
    for run_id in runs:
        await told_once(servers[0], run_id)
    assert any(report_pb2.REPORT_DISPOSITION_ALREADY_RECORDED in worker.answers for worker in workers)
    assert sum(worker.resumed for worker in workers) > 0
    assert sum(fault.failures for fault in faults) > 0


async def until_ended(server: PlaneServer, run_id: UUID) -> Any:
    async def probe() -> Any:
        details = await server.details(run_id)
        return details if details.run.state.terminal else None

    return await eventually(probe, what=f"run {run_id} to end", within=timedelta(seconds=40))


async def told_once(server: PlaneServer, run_id: UUID) -> None:
    """Each stage of a run was completed at most once, and the events have no gap."""
    answer = await server.ports.queries.list_events("default", run_id, after_sequence=0, limit=1000)
    assert answer is not None
    assert [event.sequence for event in answer[0]] == list(range(1, len(answer[0]) + 1))
    done = [orjson.loads(event.payload)["stage_id"] for event in answer[0] if event.type == "stage:completed"]
    assert len(done) == len(set(done))
    details = await server.details(run_id)
    if details.run.state is RunState.COMPLETED:
        assert set(done) == {"first", "left", "right", "last"}
        assert {stage.result.output for stage in details.stages if stage.result} == {
            f'"{stage_id}"' for stage_id in done
        }
