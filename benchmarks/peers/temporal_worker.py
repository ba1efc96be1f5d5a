"""The stages as Temporal activities: `python -m benchmarks.peers.temporal_worker ADDRESS`."""

import asyncio
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker

QUEUE = "bench"
WITHIN = timedelta(minutes=1)
SLOTS = 200
CACHED_WORKFLOWS = 2000


@activity.defn
async def step(payload: dict[str, str]) -> dict[str, str]:
    """Does nothing."""
    return payload


@workflow.defn
class Line:
    """Stages in a row."""

    @workflow.run
    async def run(self, stages: int, payload: dict[str, str]) -> dict[str, str]:
        """Runs them."""
        for _ in range(stages):
            payload = await workflow.execute_activity(step, payload, start_to_close_timeout=WITHIN)
        return payload


@workflow.defn
class Wide:
    """Stages side by side, and one that follows them."""

    @workflow.run
    async def run(self, stages: int, payload: dict[str, str]) -> dict[str, str]:
        """Runs them."""
        steps = [
            workflow.execute_activity(step, payload, start_to_close_timeout=WITHIN) for _ in range(stages)
        ]
        await asyncio.gather(*steps)
        return await workflow.execute_activity(step, payload, start_to_close_timeout=WITHIN)


async def main() -> None:
    """Works until it is ended."""
    client = await Client.connect(sys.argv[1])
    worker = Worker(
        client,
        task_queue=QUEUE,
        workflows=[Line, Wide],
        activities=[step],
        max_cached_workflows=CACHED_WORKFLOWS,
        max_concurrent_activities=SLOTS,
        max_concurrent_workflow_tasks=SLOTS,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
    )
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
