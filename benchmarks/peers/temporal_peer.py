"""Temporal's dev server, in memory, which is faster than its file and keeps nothing; one worker process; this is the caller."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio.testing import WorkflowEnvironment

from benchmarks.peers.measuring import PAYLOAD, measure, options
from benchmarks.peers.temporal_worker import QUEUE, Line, Wide

IN_FLIGHT = 64


async def main() -> None:
    """Starts all, measures, and ends all."""
    server = Path(sys.executable).with_name("temporal")
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(server), dev_server_log_level="never"
    ) as environment:
        client = environment.client
        address = client.service_client.config.target_host
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.peers.temporal_worker", address
        )

        def run(workflow: Any, stages: int) -> Any:
            return client.execute_workflow(workflow, args=[stages, PAYLOAD], id=uuid4().hex, task_queue=QUEUE)

        try:
            await measure(
                options(),
                lambda stages: run(Line.run, stages),
                lambda stages: run(Wide.run, stages),
                in_flight=IN_FLIGHT,
            )
        finally:
            worker.terminate()
            await worker.wait()


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)  # threads of its client's native part may crash an interpreter that ends
