"""``lease.reapStale`` and the promotion of jobs whose time has come."""

from collections.abc import Sequence
from uuid import UUID

from stageline_engine.commands import JobsPromoted, PromoteJobs, ReapStaleLeases, StaleLeasesReaped
from stageline_engine.decide.stale import decide_stale
from stageline_engine.handlers.context import Batch
from stageline_engine.model.job import JobState
from stageline_engine.model.stage import StageState


async def reap_stale_leases(batch: Batch, commands: Sequence[ReapStaleLeases]) -> list[StaleLeasesReaped]:
    """Ends sessions that were not heard of and hands their jobs on."""
    return [await _reap(batch, command) for command in commands]


async def _reap(batch: Batch, command: ReapStaleLeases) -> StaleLeasesReaped:
    dead = await batch.work.expire_sessions(batch.space.now, command.limit)
    if not dead:
        return StaleLeasesReaped()
    wanted: dict[UUID, set[int]] = {}
    for run_id, number in await batch.work.jobs_of_sessions(dead):
        wanted.setdefault(run_id, set()).add(number)
    await batch.load({run_id: frozenset(numbers) for run_id, numbers in wanted.items()})
    requeued = poisoned = 0
    for run_id, numbers in wanted.items():
        for number in sorted(numbers):
            outcome = _reap_job(batch, run_id, number, frozenset(dead))
            requeued += outcome is StageState.PENDING
            poisoned += outcome is StageState.FAILED
    return StaleLeasesReaped(tuple(dead), requeued, poisoned)


def _reap_job(batch: Batch, run_id: UUID, number: int, dead: frozenset[UUID]) -> StageState | None:
    """Handles one job if, now that its run is locked, a dead session still holds it."""
    view = batch.space.view(run_id)
    job = view.jobs.get(number) if view else None
    if view is None or job is None or job.state is not JobState.LEASED or job.session_id not in dead:
        return None
    batch.space.apply_all(run_id, decide_stale(view, number))
    return batch.space.runs[run_id].stages[number].state


async def promote_jobs(batch: Batch, commands: Sequence[PromoteJobs]) -> list[JobsPromoted]:
    """Makes delayed jobs ready whose time has come."""
    results = []
    for command in commands:
        routes, next_available_at = await batch.work.promote_jobs(batch.space.now, command.limit)
        batch.space.promoted_routes.update(routes)
        results.append(JobsPromoted(len(routes), next_available_at))
    return results
