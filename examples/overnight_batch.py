"""A batch of prompts that takes the night, and a night in which everything is killed and started again.

    python -m examples.overnight_batch               # a fake provider; see examples/providers.py for a real one

It starts a dev server and a worker, has a batch submitted, kills both with SIGKILL while the run is suspended, starts them
again, and shows the answers, and what the batch cost against live calls. With a real provider it may take up to a day.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from genai_prices import Usage, calc_price

from examples.demo.children import Child, running, stageline
from examples.demo.services import PROJECT, dev_server
from examples.providers import model, provider
from stageline_sdk import (
    Client,
    Context,
    NoInput,
    RunResult,
    UsageFilter,
    Worker,
    Workflow,
)
from stageline_sdk.ai import BatchResults, ai_batch_stage
from stageline_sdk.ai.testing import BatchPlan

QUESTIONS = {
    "sea": "Why is the sea salt?",
    "sky": "Why is the sky blue?",
    "ice": "Why does ice float?",
}
# Looks at the fake's batch before it ends: at least one after everything was killed.
PENDING_POLLS = 1


def prompts(ctx: Context[dict[str, str]]) -> dict[str, str]:
    """Asks what the run says."""
    return ctx.input


@ai_batch_stage("ask", str, prompts=prompts, model=model(), poll_interval=timedelta(seconds=2))
async def ask(ctx: Context[NoInput], results: BatchResults[str]) -> dict[str, str]:
    """Hands over the answers."""
    return dict(results.outputs)


overnight = Workflow("overnight", input=dict[str, str]).pipe(ask).build()
worker = Worker(overnight)


async def start(stack: AsyncExitStack, folder: Path, variables: Mapping[str, str]) -> tuple[str, list[Child]]:
    """Starts a server and a worker on the folder's data, and returns where the server is."""
    server, address = await stack.enter_async_context(dev_server(folder))
    command = stageline("worker", "examples.overnight_batch:worker", "--address", address)
    child = await stack.enter_async_context(
        running("worker", command, log_file=folder / "logs/worker.log", cwd=PROJECT, environment=variables)
    )
    return address, [server, child]


async def suspended(client: Client, run_id: str) -> None:
    """Returns once the run waits for its batch, and holds no worker."""
    async for event in client.watch_run(run_id):
        if event.type == "stage:suspended":
            return


async def live_price(client: Client, run_id: str) -> Decimal:
    """What the same tokens would have cost as live calls."""
    total = Decimal(0)
    async for call in client.usage.list(UsageFilter(run_id=run_id)):
        usage = Usage(
            input_tokens=call.input_tokens or 0,
            cache_read_tokens=call.cached_input_tokens or 0,
            output_tokens=call.output_tokens or 0,
        )
        total += calc_price(usage, call.model_id, provider_id=call.provider).total_price
    return total


async def night(folder: Path, variables: Mapping[str, str]) -> RunResult:
    """Submits, kills everything, starts it again, and waits for the answers."""
    async with AsyncExitStack() as evening:
        address, children = await start(evening, folder, variables)
        async with Client(address) as client:
            await client.register_workflow(overnight)
            run = await client.create_run(overnight, QUESTIONS)
            await suspended(client, run.id)
        print("The batch is submitted. Killing server and worker ...")
        for child in children:
            os.kill(child.pid, signal.SIGKILL)
    async with AsyncExitStack() as morning:
        print("Starting them again ...")
        address, _ = await start(morning, folder, variables)
        async with Client(address) as client:
            result = await client.wait_for_run(run.id)
            paid, live = (await client.get_run(run.id)).total_cost_usd, await live_price(client, run.id)
    for name, answer in (result.output or {}).items():
        print(f"  {name}: {answer}")
    print(f"Paid {paid:f} USD; as live calls {live:f} USD.")
    return result


async def main() -> RunResult:
    """Spends the night."""
    plan = BatchPlan(pending_polls=PENDING_POLLS)
    with provider(plan) as variables, tempfile.TemporaryDirectory() as folder:
        return await night(Path(folder), variables)


if __name__ == "__main__":
    asyncio.run(main())
