"""`ctx.submit_once` in a worker without a stream and in a process of its own, and what the command shows of it."""

import asyncio

from click.testing import CliRunner

from stageline_cli.group import stageline
from stageline_sdk import Client, Context, NoInput, Worker, Workflow, stage
from stageline_server.stores import memory_ports
from tests.integration.server.running import running


@stage("buy-on-loop")
async def buy_on_loop(ctx: Context[NoInput]) -> str:
    async def submit(key: str) -> str:
        return f"loop {len(key)}"

    return await ctx.submit_once("order", submit)


@stage("buy-in-process", executor="process")
def buy_in_process(ctx: Context[NoInput]) -> str:
    return ctx.submit_once_sync("order", lambda key: f"process {len(key)}")


SHOP = Workflow("shop", input=NoInput).parallel(buy_on_loop, buy_in_process).build()


async def test_a_worker_without_a_stream_submits_and_the_command_shows_it() -> None:
    async with running(memory_ports()) as server:
        address = server.application.address
        async with Client(address) as client:
            await client.register_workflow(SHOP)
            run = await client.create_run(SHOP)
            await Worker(SHOP).run_once(2, address=address)
            done = await client.wait_for_run(run.id)
        runner = CliRunner(env={"STAGELINE_ADDRESS": address, "COLUMNS": "200"})
        shown = await asyncio.to_thread(runner.invoke, stageline, ["run", "get", run.id])

    key_length = len("order-") + 36
    assert done.output == {"buy-on-loop": f"loop {key_length}", "buy-in-process": f"process {key_length}"}
    for each in done.stages:
        (submission,) = each.submissions
        assert (submission.phase, submission.reference) == ("CONFIRMED", done.output[each.id])
        row = [each.id, submission.key, "CONFIRMED", *submission.reference.split()]
        assert row in [line.split() for line in shown.stdout.splitlines()]
