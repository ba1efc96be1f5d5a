"""W6: two servers on one database, each with a worker and a caller of its own."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace

from benchmarks.bench import Bench
from benchmarks.load import saturate
from stageline_sdk import Client


@contextlib.asynccontextmanager
async def second_server(bench: Bench) -> AsyncIterator[Client]:
    """Starts another server on the same database with another worker, and ends both."""
    ready_file = bench.stack.folder / "second-ready.json"
    ready_file.unlink(missing_ok=True)
    process = bench.stack.processes.start(
        "second-server",
        "server",
        "--listen",
        "127.0.0.1:0",
        "--ready-file",
        str(ready_file),
        environment={"STAGELINE_DATABASE_URL": bench.server.dsn},
    )
    address = json.loads(process.wait_for_file(ready_file))["address"]
    worker = bench.stack.worker(
        "benchmarks.workflows:worker",
        replace(bench.server, process=process, address=address),
        "--concurrency",
        str(bench.options.concurrency),
    )
    try:
        async with Client(address) as client:
            await saturate(client, bench.options.runs // 10)  # warms up
            yield client
    finally:
        worker.terminate()
        process.terminate()


async def two_servers(bench: Bench) -> dict[str, float]:
    """The load of W1 on one server, and shared by two."""
    alone = (await saturate(bench.client, bench.options.runs)).stages_per_second
    async with second_server(bench) as second:
        half = bench.options.runs // 2
        loads = await asyncio.gather(saturate(bench.client, half), saturate(second, half))
    both = sum(load.stages for load in loads) / max(load.seconds for load in loads)
    return {
        "one_server_stages_per_second": alone,
        "two_servers_stages_per_second": both,
        "stages_per_second_of_2_servers__of_1": both / alone,
    }
