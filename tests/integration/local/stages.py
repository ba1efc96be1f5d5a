"""The stages that local hosts run in these tests."""

import asyncio
from datetime import timedelta

from pydantic import BaseModel

from stageline_sdk import (
    Context,
    NoInput,
    NonRetryableError,
    RetryPolicy,
    StillWaiting,
    Suspended,
    Workflow,
    stage,
)

HOUR = timedelta(hours=1)


class Number(BaseModel):
    value: int


class Scale(BaseModel):
    factor: int = 2


@stage("double")
async def double(ctx: Context[Number, Scale]) -> Number:
    ctx.log.info("doubling", value=ctx.input.value)
    ctx.annotate("decision.outcome", "doubled")
    return Number(value=ctx.config.factor * ctx.input.value)


@stage("square")
def square(ctx: Context[Number]) -> int:
    return ctx.input.value**2


@stage("negate")
async def negate(ctx: Context[Number]) -> int:
    return -ctx.input.value


@stage("sum", dependencies=[square, negate])
async def add(ctx: Context[NoInput]) -> int:
    # `double` is no dependency: it is fetched, by a call that blocks this loop.
    return ctx.require(square) + ctx.require(negate) + ctx.require(double).value


numbers = Workflow("numbers", input=Number).pipe(double).parallel(square, negate).pipe(add).build()


@stage("flaky", retry=RetryPolicy(max_attempts=3, initial_backoff=HOUR, max_backoff=4 * HOUR, jitter=0))
async def flaky(ctx: Context[NoInput]) -> int:
    if ctx.attempt < 3:
        raise ValueError("not yet")
    return ctx.attempt


@stage("final")
async def final(ctx: Context[NoInput]) -> int:
    raise NonRetryableError("the document is encrypted")


@stage("batch", mode="async-batch")
async def batch(ctx: Context[NoInput]) -> int | Suspended:
    return Suspended(state={"looks": 0}, poll_interval=HOUR, max_wait=timedelta(days=30))


@batch.check
async def look(ctx: Context[NoInput], state: dict[str, int]) -> int | StillWaiting:
    if state["looks"] == 20 * 24:
        return state["looks"]
    return StillWaiting(state={"looks": state["looks"] + 1})


@stage("approve", mode="async-batch")
async def approve(ctx: Context[NoInput]) -> str | Suspended:
    ctx.annotate("token", ctx.resume_token("somebody"))
    return Suspended(never_poll=True, max_wait=timedelta(days=7))


@approve.check
async def ask(ctx: Context[NoInput], state: dict[str, int]) -> str | StillWaiting:
    return StillWaiting()


@stage("endless")
async def endless(ctx: Context[NoInput]) -> int:
    ctx.progress(0.5, "begun")
    await asyncio.Event().wait()
    return 0


retried = Workflow("retried", input=NoInput).pipe(flaky).build()
doomed = Workflow("doomed", input=NoInput).pipe(final).build()
batches = Workflow("batches", input=NoInput).pipe(batch).build()
approvals = Workflow("approvals", input=NoInput).pipe(approve).build()
stuck = Workflow("stuck", input=NoInput).pipe(endless).build()
