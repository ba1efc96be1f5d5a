"""The workloads: what a caller asks of Stageline, and what it waits for."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.workflows import INPUT, THREE_STAGES
from stageline_sdk import Client
from stageline_sdk.built_workflow import BuiltWorkflow

AnyWorkflow = BuiltWorkflow[Any, Any]

# Creations under way at once; enough to keep the server busy, few enough to be one caller's.
CREATIONS_IN_FLIGHT = 128
# Runs, the last created, whose end the caller waits for; when they have ended, few others are still open.
WATCHED_RUNS = 8
WARM_UP_RUNS = 20


@dataclass(frozen=True)
class Throughput:
    """What a saturated server did.

    Attributes:
        stages_per_second: From the first creation to the last completion, creations included.
        runs_created_per_second: From the first creation to the last acknowledgement of one.
        stages: How many there were.
        seconds: What it took.
    """

    stages_per_second: float
    runs_created_per_second: float
    stages: int
    seconds: float


async def saturate(client: Client, runs: int, workflow: AnyWorkflow = THREE_STAGES) -> Throughput:
    """Creates runs of a workflow as fast as the server takes them, and waits until all have ended.

    The end is noticed by watching the last runs: a caller that watched each of thousands would be measured itself.

    Raises:
        RuntimeError: A run did not complete.
    """
    began = time.perf_counter()
    ids = await create_runs(client, runs, workflow)
    created = time.perf_counter()
    await asyncio.gather(*(client.wait_for_run(run_id) for run_id in ids[-WATCHED_RUNS:]))
    while open_runs := [
        run async for run in client.list_runs(workflow=workflow, status=["PENDING", "RUNNING"], limit=100)
    ]:
        await asyncio.gather(*(client.wait_for_run(run.id) for run in open_runs))
    ended = time.perf_counter()
    unfinished = [
        run async for run in client.list_runs(workflow=workflow, status=["FAILED", "CANCELLED"], limit=1)
    ]
    if unfinished:
        raise RuntimeError(f"run {unfinished[0].id} is {unfinished[0].status}")
    stages = runs * len(list(workflow.stages))
    return Throughput(stages / (ended - began), runs / (created - began), stages, ended - began)


async def create_runs(client: Client, runs: int, workflow: AnyWorkflow) -> list[str]:
    """Creates runs, some at once; returns their ids in the order of creation."""
    left = iter(range(runs))
    ids: list[str] = []

    async def create() -> None:
        for _ in left:
            ids.append((await client.create_run(workflow, INPUT)).id)

    await asyncio.gather(*(create() for _ in range(CREATIONS_IN_FLIGHT)))
    return ids


async def single_runs(
    client: Client, workflow: AnyWorkflow, runs: int, warm_up_runs: int = WARM_UP_RUNS
) -> list[float]:
    """Starts runs one after the other on an idle server; returns the seconds from call to result of each.

    Raises:
        RuntimeError: A run did not complete.
    """
    seconds = []
    for number in range(warm_up_runs + runs):
        began = time.perf_counter()
        result = await client.run_and_wait(workflow, INPUT)
        if number >= warm_up_runs:
            seconds.append(time.perf_counter() - began)
        if not result.is_completed or result.output != INPUT.model_dump():
            raise RuntimeError(f"run {result.run_id} is {result.status}: {result.error}")
    return seconds
