"""What histories do and ask behind the kernel's back, through the ports."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from stageline_engine.model.job import JobState
from stageline_engine.ports import ALL_STAGES
from stageline_engine.records import ChangeSet
from stageline_engine.testing import Scene


def read_output(run_id: UUID, number: int) -> Callable[[Scene], Awaitable[Any]]:
    async def read(scene: Scene) -> Any:
        return dict(await scene.backend.queries.read_outputs("default", run_id, [number]))

    return read


async def lose_job(scene: Scene, run_id: UUID, pick: int) -> int:
    """Deletes one of a run's waiting jobs; returns how many that were."""
    async with scene.backend.persistence.begin() as work:
        [loaded] = await work.load_runs({run_id: ALL_STAGES})
        waiting = [job for job in loaded.jobs if job.state is not JobState.LEASED]
        lost = [waiting[pick % len(waiting)]] if waiting else []
        await work.commit(ChangeSet(jobs_deleted=lost))
    return len(lost)
