"""A workflow inside this process: no server, no worker to start. A report is made by a slow provider, and waited for.

    python -m examples.embedded                          # in memory
    python -m examples.embedded postgresql://...         # on a database, which is brought up to date first

The provider is asked every ten minutes; the virtual clock makes the hour that it takes pass in a moment.
"""

import asyncio
import sys
from datetime import timedelta

from pydantic import BaseModel

from stageline_engine.testing import VirtualClock
from stageline_local import LocalHost
from stageline_sdk import Context, NoInput, RunResult, StillWaiting, Suspended, Workflow, stage

LOOKS_NEEDED = 6


class Order(BaseModel):
    """What to report on."""

    title: str


class Report(BaseModel):
    """What the provider made of it."""

    title: str
    looks: int


class Pending(BaseModel):
    """What is known of an order while it is made."""

    title: str
    looks: int = 0


@stage("submit", mode="async-batch")
async def submit(ctx: Context[Order]) -> Report | Suspended:
    """Orders the report, and gives the worker back."""
    ctx.log.info("ordered", title=ctx.input.title)
    state = Pending(title=ctx.input.title)
    return Suspended(state=state, poll_interval=timedelta(minutes=10), max_wait=timedelta(days=1))


@submit.check
async def collect(ctx: Context[NoInput], state: Pending) -> Report | StillWaiting:
    """Asks whether it is there."""
    looks = state.looks + 1
    if looks < LOOKS_NEEDED:
        return StillWaiting(state=Pending(title=state.title, looks=looks))
    return Report(title=state.title, looks=looks)


@stage("publish")
def publish(ctx: Context[Report]) -> str:
    """Says what came of it."""
    return f"{ctx.input.title}: ready after {ctx.input.looks} looks"


reports = Workflow("reports", input=Order).pipe(submit).pipe(publish).build()


async def main(database_url: str | None = None) -> RunResult:
    """Runs it once and tells how it went."""
    clock = VirtualClock()
    began = clock.now()
    async with LocalHost(
        reports, database_url=database_url, migrate=database_url is not None, clock=clock
    ) as host:
        result = await host.run_and_wait(Order(title="Quarterly figures"))
        async for line in host.client.list_logs(result.run_id):
            print(f"{line.stage_id}: {line.message} {dict(line.fields)}")
    print(f"{result.output} ({clock.now() - began} of virtual time)")
    return result


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
