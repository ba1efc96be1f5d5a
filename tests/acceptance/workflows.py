"""What the workers of these tests run: stages that count their executions in a file and wait where they are told to.

A test opens a gate by making a file; nothing of this is known to server or SDK.
"""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stageline_sdk import Context, NoInput, NonRetryableError, Worker, Workflow, stage
from tests.waiting import eventually, eventually_sync

# A stage waits longer than any outage that a test makes meanwhile.
GATE_WITHIN = timedelta(minutes=2)


class Order(BaseModel):
    """What a run is asked to do.

    Attributes:
        folder: Where executions are counted and the gate is.
        held: Ids of stages that wait until the gate is open.
        failing: Ids of stages that fail for good.
    """

    folder: str
    held: list[str] = []
    failing: list[str] = []


class Sum(BaseModel):
    """What a run gives: the numbers of its stages, added up."""

    total: int


def began(ctx: Context[Any, Any], order: Order) -> bool:
    """Counts an execution; whether it is to wait for the gate."""
    line = {
        "run_id": ctx.run_id,
        "stage_id": ctx.stage_id,
        "attempt": ctx.attempt,
        "delivery": ctx.delivery,
        "pid": os.getpid(),
    }
    with (Path(order.folder) / "executions.jsonl").open("a") as executions:
        executions.write(json.dumps(line) + "\n")
    if ctx.stage_id in order.failing:
        raise NonRetryableError("told to fail")
    return ctx.stage_id in order.held


def gate_of(order: Order) -> Path:
    """The file that opens the gate."""
    return Path(order.folder) / "gate-is-open"


@stage("first")
async def first(ctx: Context[Order]) -> Order:
    if began(ctx, ctx.input):
        await eventually(_asks(ctx.input), what="the gate", within=GATE_WITHIN)
    return ctx.input


@stage("left")
def left(ctx: Context[Order]) -> int:
    if began(ctx, ctx.input):
        eventually_sync(gate_of(ctx.input).exists, what="the gate", within=GATE_WITHIN)
    return 1


@stage("right")
async def right(ctx: Context[Order]) -> int:
    if began(ctx, ctx.input):
        await eventually(_asks(ctx.input), what="the gate", within=GATE_WITHIN)
    return 2


@stage("last", dependencies=[first])
async def last(ctx: Context[dict[str, int]]) -> Sum:
    order = ctx.require(first)
    if began(ctx, order):
        await eventually(_asks(order), what="the gate", within=GATE_WITHIN)
    return Sum(total=sum(ctx.input.values()))


def _asks(order: Order) -> Any:
    async def is_open() -> bool:
        return gate_of(order).exists()

    return is_open


counted = Workflow("counted", input=Order).pipe(first).parallel(left, right).pipe(last).build()
worker = Worker(counted)

not_a_worker = NoInput()
