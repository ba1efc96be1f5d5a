"""Labels of workers, and what is said of jobs that no worker can take. Client, workers and the real server, in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from stageline_local import LocalHost
from stageline_sdk import Client, Context, DefinitionError, RunStatus, StageInfo, Worker, Workflow, stage
from stageline_server.stores import memory_ports
from tests.integration.server.running import Server, running
from tests.integration.worker_sdk.stages import Gates, Number, wait
from tests.waiting import eventually

GPU = {"gpu": "a100"}


@stage("draw", requires=GPU)
async def draw(ctx: Context[Number]) -> Number:
    return Number(value=ctx.input.value + 1)


DRAWING = Workflow("drawing", input=Number).pipe(draw).build()
WAITING = Workflow("waiting", input=Number).pipe(wait).build()
Start = Callable[[Worker], None]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running(memory_ports()) as server:
        yield server


@pytest.fixture
async def start(server: Server) -> AsyncIterator[Start]:
    """Starts workers, and ends them after the test."""
    workers: list[tuple[Worker, asyncio.Task[None]]] = []

    def start_worker(worker: Worker) -> None:
        workers.append((worker, asyncio.create_task(worker.run(server.application.address))))

    yield start_worker
    for worker, task in workers:
        worker.stop(timedelta(0))
        with suppress(Exception):
            await task


async def first_stage(client: Client, run_id: str) -> StageInfo:
    return (await client.get_run(run_id)).stages[0]


async def test_a_stage_goes_only_to_workers_with_its_labels(server: Server, start: Start) -> None:
    async with Client(server.application.address) as client:
        await client.register_workflow(DRAWING)
        run = await client.create_run(DRAWING, Number(value=1))
        unserved = await first_stage(client, run.id)
        assert unserved.waits_for == "NO_WORKER"
        assert unserved.waits_detail == (
            'no worker with the labels gpu=a100 has stage "draw" of workflow "drawing" version 1'
        )

        start(Worker(DRAWING, name="plain", labels={"gpu": "l4"}))

        async def told_of_the_worker() -> bool:
            return "1 worker has it without them" in (await first_stage(client, run.id)).waits_detail

        await eventually(told_of_the_worker, what="the worker that has the stage without its labels")

        start(Worker(DRAWING, name="able").configured(labels=GPU))
        done = await client.wait_for_run(run.id)
        assert done.status is RunStatus.COMPLETED
        assert {each.name: each.labels async for each in client.list_workers()} == {
            "plain": {"gpu": "l4"},
            "able": GPU,
        }
        assert (await client.get_workflow("drawing")).stages[0].requires == GPU


async def test_a_job_that_waits_for_a_slot_says_so(server: Server, start: Start, gates: Gates) -> None:
    async with Client(server.application.address) as client:
        start(Worker(WAITING, concurrency=1))
        await client.register_workflow(WAITING)
        held = await client.create_run(WAITING, Number(value=1))
        await gates.entered.get()
        queued = await client.create_run(WAITING, Number(value=2))
        stage = await first_stage(client, queued.id)
        assert stage.waits_for == "NO_FREE_SLOT"
        assert stage.waits_detail == (
            '1 worker with 1 slot has stage "wait" of workflow "waiting" version 1, and none of them is free'
        )
        assert (await first_stage(client, held.id)).waits_detail == ""
        gates.open.set()
        for run in (held, queued):
            assert (await client.wait_for_run(run.id)).status is RunStatus.COMPLETED


async def test_a_local_host_serves_what_requires_labels() -> None:
    async with LocalHost(DRAWING) as host:
        assert (await host.run_and_wait(Number(value=1))).output == {"value": 2}


def test_labels_are_checked_where_they_are_written() -> None:
    with pytest.raises(DefinitionError, match="stage 'draw' may have 64 labels, got 65"):
        stage("draw", requires={f"k{number}": "" for number in range(65)})
    with pytest.raises(DefinitionError, match="key of 1 to 63 characters, got 64"):
        Worker(WAITING, labels={"k" * 64: "v"})
    with pytest.raises(DefinitionError, match="label 'k' of a worker may have 255 characters, got 256"):
        Worker(WAITING, labels={"k": "v" * 256})
    with pytest.raises(DefinitionError, match="are texts, got 'k': 1"):
        Worker(WAITING, labels={"k": 1})  # type: ignore[dict-item]
