"""The stages that the tests run."""

import asyncio
import threading
from datetime import timedelta

from pydantic import BaseModel

from stageline_sdk import Context, NoInput, NonRetryableError, RetryableError, Workflow, stage


class Number(BaseModel):
    value: int


@stage("double")
async def double(ctx: Context[Number]) -> Number:
    return Number(value=2 * ctx.input.value)


@stage("triple")
def triple(ctx: Context[Number]) -> Number:
    return Number(value=3 * ctx.input.value)


@stage("add", dependencies=[double])
def add(ctx: Context[NoInput]) -> Number:
    return Number(value=ctx.require(double).value + ctx.require(triple).value)


@stage("fail")
async def fail(ctx: Context[Number]) -> Number:
    raise ValueError(f"no good: {ctx.input.value}")


@stage("fail-for-good")
def fail_for_good(ctx: Context[Number]) -> Number:
    raise NonRetryableError("the document is encrypted")


@stage("try-later")
def try_later(ctx: Context[Number]) -> Number:
    raise RetryableError("rate limited", retry_after=timedelta(seconds=30))


@stage("large")
def large(ctx: Context[Number]) -> str:
    return "x" * ctx.input.value


@stage("talk")
async def talk(ctx: Context[Number]) -> Number:
    ctx.log.info("hello", value=ctx.input.value)
    ctx.progress(0.5, "half way", pages=3)
    ctx.annotate("decision.rationale", "because", details={"score": 1})
    await forever(ctx)
    return ctx.input


@stage("wait")
async def wait(ctx: Context[Number]) -> Number:
    await forever(ctx)
    return ctx.input


async def forever(ctx: Context[Number]) -> None:
    """Wait until the gate of this run is opened, in a way that a cancellation interrupts."""
    GATES.entered.put_nowait(ctx.run_id)
    try:
        await GATES.open.wait()
    except asyncio.CancelledError:
        GATES.cancelled.append(ctx.run_id)
        raise


@stage("wait-in-thread")
def wait_in_thread(ctx: Context[Number]) -> Number:
    GATES.loop.call_soon_threadsafe(GATES.entered.put_nowait, ctx.run_id)
    ctx.cancelled.wait()
    GATES.cancelled.append(ctx.cancelled.reason)
    ctx.raise_if_cancelled()
    return ctx.input


@stage("stubborn")
def stubborn(ctx: Context[Number]) -> Number:
    GATES.loop.call_soon_threadsafe(GATES.entered.put_nowait, ctx.run_id)
    GATES.thread.wait()
    return ctx.input


@stage("block")
async def block(ctx: Context[Number]) -> Number:
    GATES.thread.wait(ctx.input.value)  # What a handler must not do.
    return ctx.input


class Gates:
    """Where stages wait, and where they say that they do. Made anew for each test, by a fixture."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.entered: asyncio.Queue[str] = asyncio.Queue()
        self.open = asyncio.Event()
        self.thread = threading.Event()
        self.cancelled: list[str] = []


GATES: Gates


def new_gates() -> Gates:
    """Close all gates again."""
    global GATES  # noqa: PLW0603 - stages are functions of a module, and this is how they reach the test
    GATES = Gates()
    return GATES


PIPELINE = Workflow("pipeline", input=Number).pipe(double).pipe(triple).pipe(add).build()
OTHERS = (
    Workflow("others", input=Number)
    .parallel(fail, fail_for_good, try_later, large, talk, wait, wait_in_thread, stubborn, block)
    .build()
)
