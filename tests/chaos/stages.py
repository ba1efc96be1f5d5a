"""What the workers of the scenarios run. Every stage writes into the journal that it has begun; nothing else knows of it."""

import asyncio
import contextlib
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stageline_sdk import Context, NoInput, RetryableError, RetryPolicy, Worker, Workflow, stage
from tests.chaos.journal import BEGAN, mark
from tests.waiting import eventually, eventually_sync

AT_ONCE = RetryPolicy(max_attempts=3, initial_backoff=timedelta(0), jitter=0)
# A stage waits longer than any outage of a scenario.
GATE_WITHIN = timedelta(minutes=5)
SLOTS = 4
"""Slots of the workers that run `order`."""
STAGES = ("first", "left", "right", "last")
"""Stages of `order`."""
COMPANIONS = 2 * SLOTS
"""Stages of `held`, which run side by side: one for each slot of two workers."""
WIDTH = 100
"""Stages of `wide`."""


class Task(BaseModel):
    """What a run is asked to do.

    Attributes:
        folder: Where the journal is.
        number: The output of each of its stages: a stray one would be seen.
        seconds: How long each stage takes.
        talks: Whether its stages also log, tell progress, take notes and spend money.
        flaky: Whether every fifth stage, counted over all runs, fails at its first attempt.
    """

    folder: str
    number: int = 0
    seconds: float = 0.0
    talks: bool = False
    flaky: bool = False


class Answer(BaseModel):
    """What each stage gives."""

    number: int


async def work(ctx: Context[Any, Any], task: Task) -> Answer:
    """Does what a stage of these is for: it takes its time, unless it is cancelled."""
    mark(task.folder, BEGAN, ctx)
    if task.talks:
        ctx.log.info("begun", number=task.number)
        ctx.progress(0.5)
        ctx.annotate("chaos.number", task.number)
        ctx.ai.record_call(model="fast", cost_usd="0.01", input_tokens=1, output_tokens=1)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_cancelled(ctx), task.seconds)
    if task.flaky and ctx.attempt == 1 and (task.number + STAGES.index(ctx.stage_id)) % 5 == 0:
        raise RetryableError("told to fail once")
    return Answer(number=task.number)


async def wait_at(gate: str, ctx: Context[Any, Any], task: Task) -> Answer:
    """Waits until a gate is open."""
    mark(task.folder, BEGAN, ctx)

    async def is_open() -> bool:
        return (Path(task.folder) / gate).exists()

    await eventually(is_open, what="the gate", within=GATE_WITHIN)
    return Answer(number=task.number)


async def _cancelled(ctx: Context[Any, Any]) -> None:
    await ctx.cancelled
    ctx.raise_if_cancelled()


@stage("first", retry=AT_ONCE)
async def first(ctx: Context[Task]) -> Task:
    await work(ctx, ctx.input)
    return ctx.input


@stage("left", retry=AT_ONCE)
async def left(ctx: Context[Task]) -> Answer:
    return await work(ctx, ctx.input)


@stage("right", retry=AT_ONCE)
async def right(ctx: Context[Task]) -> Answer:
    return await work(ctx, ctx.input)


@stage("last", dependencies=[first], retry=AT_ONCE)
async def last(ctx: Context[dict[str, Answer]]) -> Answer:
    return await work(ctx, ctx.require(first))


@stage("only")
async def only(ctx: Context[Task]) -> Answer:
    return await work(ctx, ctx.input)


@stage("spend")
def spend(ctx: Context[Task]) -> Task:
    """Waits for the gate in a thread, where no cancellation reaches it, and spends money after that."""
    mark(ctx.input.folder, BEGAN, ctx)
    eventually_sync((Path(ctx.input.folder) / "gate").exists, what="the gate", within=GATE_WITHIN)
    ctx.ai.record_call(model="fast", cost_usd="0.25", input_tokens=10, output_tokens=5)
    mark(ctx.input.folder, "spent", ctx)
    return ctx.input


@stage("linger", dependencies=[spend])
async def linger(ctx: Context[Task]) -> Answer:
    """Keeps its run from ending before a gate of its own is open."""
    return await wait_at("linger", ctx, ctx.require(spend))


@stage("kill")
async def kill(ctx: Context[Task]) -> Answer:
    """Ends its worker, as a lack of memory would."""
    mark(ctx.input.folder, BEGAN, ctx)
    os.kill(os.getpid(), signal.SIGKILL)
    return Answer(number=0)


def companion(number: int) -> Any:
    """One of many stages that wait for the gate side by side."""

    @stage(f"held-{number}")
    async def held(ctx: Context[Task]) -> Answer:
        return await wait_at("gate", ctx, ctx.input)

    return held


def stoppable(number: int) -> Any:
    """One of many stages that go on until they are told to stop, which they note, or until their time is over.

    Without `seconds` it never is; with them the times of its siblings are spread over so many.
    """

    @stage(f"stopped-{number}")
    async def stopped_stage(ctx: Context[Task]) -> Answer:
        mark(ctx.input.folder, BEGAN, ctx)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_told(ctx), ctx.input.seconds * (number + 1) / WIDTH or None)
        return Answer(number=ctx.input.number)

    return stopped_stage


async def _told(ctx: Context[Task]) -> None:
    try:
        await ctx.cancelled
    finally:
        if ctx.cancelled.is_set():
            mark(ctx.input.folder, "told", ctx)


def idle(number: int) -> Any:
    """One of many stages that do nothing."""

    @stage(f"idle-{number}")
    async def idle_stage(ctx: Context[NoInput]) -> int:
        return number

    return idle_stage


order = Workflow("order", input=Task).pipe(first).parallel(left, right).pipe(last).build()
single = Workflow("single", input=Task).pipe(only).build()
spending = Workflow("spending", input=Task).pipe(spend).pipe(linger).build()
poison = Workflow("poison", input=Task).pipe(kill).build()
held = Workflow("held", input=Task).parallel(*(companion(n) for n in range(COMPANIONS))).build()
cancelled = Workflow("cancelled", input=Task).parallel(*(stoppable(n) for n in range(WIDTH))).build()
wide = Workflow("wide", input=NoInput).parallel(*(idle(n) for n in range(WIDTH))).build()
prey = Workflow("prey", input=NoInput).pipe(idle(0)).build()

worker = Worker(
    order, single, spending, held, concurrency=SLOTS, name="chaos", drain_timeout=timedelta(seconds=10)
)
wide_worker = Worker(wide, cancelled, concurrency=500, name="chaos-wide")
doomed_worker = Worker(poison, single, concurrency=SLOTS, name="chaos-doomed")
