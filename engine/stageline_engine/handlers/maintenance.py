"""What keeps the system going by itself: stale leases, times that have come, runs that stand still."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from stageline_engine.commands import (
    ClaimPendingRuns,
    DeadLettersReplayed,
    DeadlinesExpired,
    EventsSequenced,
    ExpireDeadlines,
    HistoryPurged,
    JobsPromoted,
    PendingRunsClaimed,
    PromoteJobs,
    PurgeHistory,
    ReapStaleLeases,
    ReapStuckRuns,
    ReplayDeadLetters,
    SequenceEvents,
    StaleLeasesReaped,
    StuckRunsReaped,
)
from stageline_engine.decide.create import fail_start, start_run
from stageline_engine.decide.deadlines import decide_deadline, decide_run_deadline
from stageline_engine.decide.stale import decide_stale
from stageline_engine.errors import ConcurrentChangeError, StorageUnavailableError
from stageline_engine.handlers.context import Batch
from stageline_engine.handlers.runs import repair
from stageline_engine.model.job import JobState
from stageline_engine.model.run import RunRow
from stageline_engine.model.stage import StageState
from stageline_engine.ports import ALL_STAGES, DeadLetterKey, LoadedRun, PurgeBefore


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
    batch.space.apply_all(run_id, decide_stale(view, number, batch.space.now))
    return batch.space.runs[run_id].stages[number].state


async def promote_jobs(batch: Batch, commands: Sequence[PromoteJobs]) -> list[JobsPromoted]:
    """Makes delayed jobs ready whose time has come."""
    results = []
    for command in commands:
        routes, next_available_at = await batch.work.promote_jobs(batch.space.now, command.limit)
        batch.space.promoted_routes.update(routes)
        results.append(JobsPromoted(len(routes), next_available_at))
    return results


async def claim_pending_runs(batch: Batch, commands: Sequence[ClaimPendingRuns]) -> list[PendingRunsClaimed]:
    """Starts runs that waited for their time."""
    results = []
    for command in commands:
        runs, next_start_at = await batch.work.claim_pending_runs(batch.space.now, command.limit)
        started = {run.id: await _start(batch, run) for run in runs}
        results.append(
            PendingRunsClaimed(
                tuple(run_id for run_id, well in started.items() if well),
                next_start_at,
                tuple(run_id for run_id, well in started.items() if not well),
            )
        )
    return results


async def _start(batch: Batch, run: RunRow) -> bool:
    """Starts one run, or ends it where that cannot be done: it does not hurt the others, and is not tried for ever."""
    try:
        fault = await batch.take(LoadedRun(run, (), ()))
        if not fault:
            batch.space.apply_all(run.id, start_run(batch.space.runs[run.id].workflow, batch.space.now))
            return True
    except (StorageUnavailableError, ConcurrentChangeError):
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, it concerns this run alone
        batch.space.forget(run.id)
        await batch.take(LoadedRun(run, (), ()))
        fault = f"{type(error).__name__}: {error}"
    batch.space.apply_all(run.id, [fail_start(fault)])
    return False


async def expire_deadlines(batch: Batch, commands: Sequence[ExpireDeadlines]) -> list[DeadlinesExpired]:
    """Acts on stages and runs that ran out of time."""
    return [await _expire(batch, command) for command in commands]


async def _expire(batch: Batch, command: ExpireDeadlines) -> DeadlinesExpired:
    jobs, late_runs, next_deadline_at = await batch.work.due_deadlines(batch.space.now, command.limit)
    wanted: dict[UUID, frozenset[int]] = {}
    for run_id, number in jobs:
        wanted[run_id] = wanted.get(run_id, frozenset()) | {number}
    wanted |= dict.fromkeys(late_runs, ALL_STAGES)
    await batch.load(wanted)
    stages = sum(_expire_job(batch, run_id, number) for run_id, number in jobs)
    runs = sum(_expire_run(batch, run_id) for run_id in late_runs)
    return DeadlinesExpired(stages, runs, next_deadline_at)


def _expire_job(batch: Batch, run_id: UUID, number: int) -> bool:
    view = batch.space.view(run_id)
    if view is None:
        return False
    happened = list(decide_deadline(view, number, batch.space.now, batch.ids.chance()))
    batch.space.apply_all(run_id, happened)
    return bool(happened)


def _expire_run(batch: Batch, run_id: UUID) -> bool:
    view = batch.space.view(run_id)
    if view is None:
        return False
    happened = list(decide_run_deadline(view, batch.space.now))
    batch.space.apply_all(run_id, happened)
    return bool(happened)


async def reap_stuck_runs(batch: Batch, commands: Sequence[ReapStuckRuns]) -> list[StuckRunsReaped]:
    """Finds runs whose rows contradict each other, and repairs them."""
    return [await _reap_stuck(batch, command) for command in commands]


async def _reap_stuck(batch: Batch, command: ReapStuckRuns) -> StuckRunsReaped:
    found = await batch.work.stuck_runs(command.limit)
    await batch.load(dict.fromkeys(found, ALL_STAGES))
    restored = settled = 0
    for run_id in found:
        if run_id in batch.space.runs:
            jobs_before = len(batch.space.runs[run_id].jobs)
            action = await repair(batch, run_id)
            restored += len(batch.space.runs[run_id].jobs) - jobs_before if action == "repaired" else 0
            settled += action not in ("noop", "repaired")
    return StuckRunsReaped(restored, settled)


async def replay_dead_letters(
    batch: Batch, commands: Sequence[ReplayDeadLetters]
) -> list[DeadLettersReplayed]:
    """Lets dead-lettered events be published again, in order."""
    results = []
    for command in commands:
        letters = [DeadLetterKey(*letter) for letter in command.letters]
        revived = await batch.work.revive_outbox(
            letters, consumer=command.consumer, skip=command.skip, limit=command.limit
        )
        results.append(DeadLettersReplayed(tuple(revived)))
    return results


async def sequence_events(batch: Batch, commands: Sequence[SequenceEvents]) -> list[EventsSequenced]:
    """Gives committed events their place in the log."""
    return [
        EventsSequenced(await batch.work.sequence_events(batch.space.now, command.limit))
        for command in commands
    ]


async def purge_history(batch: Batch, commands: Sequence[PurgeHistory]) -> list[HistoryPurged]:
    """Forgets what is past keeping."""
    return [await _purge(batch, command) for command in commands]


async def _purge(batch: Batch, command: PurgeHistory) -> HistoryPurged:
    now, work, runs_max = batch.space.now, batch.work, max(command.limit // 10, 1)
    run_ids: Sequence[UUID] = ()
    consumers: Sequence[str] = ()
    if command.runs is not None:
        run_ids = await work.purge_runs(now - command.runs, runs_max)
    if command.consumers is not None:
        consumers = await work.forget_consumers(now - command.consumers)
    purged = await work.purge_records(purge_before(command, now), command.limit)
    more = len(run_ids) >= runs_max or command.limit in purged
    return HistoryPurged(tuple(run_ids), *purged, tuple(consumers), more)


def purge_before(command: PurgeHistory, now: datetime) -> PurgeBefore:
    """Returns what is past keeping: nothing that names a run outlives the runs of its age."""
    ages = {
        "keys": _shorter(command.keys, command.runs),
        "log": _shorter(command.log, command.runs),
        "sessions": command.sessions,
    }
    return PurgeBefore(**{kind: None if age is None else now - age for kind, age in ages.items()})


def _shorter(one: timedelta | None, other: timedelta | None) -> timedelta | None:
    return min((age for age in (one, other) if age is not None), default=None)
