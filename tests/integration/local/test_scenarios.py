"""Scenarios of whole runs that name their number, in one process."""

import asyncio
from contextlib import aclosing

from pydantic import BaseModel

from stageline_local import LocalHost
from stageline_sdk import Context, MissingOutputError, NoInput, Workflow, stage
from tests.integration.local.conftest import MakeHost
from tests.waiting import eventually


@stage("first")
async def first(ctx: Context[NoInput]) -> str:
    return "from the first"


@stage("second")
async def second(ctx: Context[str]) -> int:
    return len(ctx.input)


@stage("third")
async def third(ctx: Context[int]) -> int:
    return ctx.input + 1


@stage("fourth")
async def fourth(ctx: Context[int]) -> int:
    return ctx.input + 1


class Found(BaseModel):
    required: str
    optional: str | None
    refusal: str


@stage("fifth")
async def fifth(ctx: Context[int]) -> Found:
    try:
        ctx.require("sixth")
    except MissingOutputError as error:
        return Found(required=ctx.require(first), optional=ctx.optional("sixth"), refusal=str(error))
    raise AssertionError("there is no sixth stage")


five = Workflow("five", input=NoInput).pipe(first).pipe(second).pipe(third).pipe(fourth).pipe(fifth).build()


async def test_11_4_40_the_fifth_stage_requires_the_output_of_the_first(make_host: MakeHost) -> None:
    async with make_host(five) as host:
        found = (await host.run_and_wait()).output
    assert found["required"] == "from the first"
    assert found["optional"] is None
    assert "'sixth'" in found["refusal"]
    assert "first, fourth, second, third" in found["refusal"]


class Doors:
    """Where the long stage of a test waits, once it has said what it has to say."""

    now: asyncio.Event


@stage("long")
async def long(ctx: Context[NoInput]) -> str:
    ctx.log.info("page 1 of 2")
    ctx.progress(0.5, "half way", page=1)
    await Doors.now.wait()
    return "done"


lengthy = Workflow("lengthy", input=NoInput).pipe(long).build()


async def _lines(host: LocalHost, run_id: str) -> list[str]:
    return [line.message async for line in host.client.list_logs(run_id)]


async def test_11_4_53_a_watcher_sees_progress_and_logs_while_the_stage_runs() -> None:
    Doors.now = asyncio.Event()
    async with LocalHost(lengthy) as host:
        run = await host.create_run()
        async with aclosing(host.client.watch_run(run.id)) as events:
            async for event in events:
                if event.type == "stage:progress":
                    break
        assert (event.payload["fraction"], event.payload["message"]) == (0.5, "half way")
        seen = await eventually(lambda: _lines(host, run.id), what="the line")
        assert seen == ["page 1 of 2"]
        [running] = (await host.client.get_run(run.id)).stages
        assert running.status == "RUNNING"
        Doors.now.set()
        assert (await host.wait_for_run(run.id)).output == "done"
