"""One transaction: it locks rows, reads what is committed, gathers its writes, and publishes them all at once.

What a transaction writes before its commit (jobs made ready, sessions ended) lies in its own overlay, where only it
sees it. The commit has no point at which it could be interrupted, so others see all of it or nothing.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from datetime import datetime
from functools import partial
from heapq import heapify, heappop
from uuid import UUID

from msgspec.structs import replace

from stageline_engine.adapters.memory import commit, outbox, retention
from stageline_engine.adapters.memory.state import KeyName, MemoryState, StreamKey
from stageline_engine.decide.lease import Urgency, urgency
from stageline_engine.model.job import JobRow, JobState
from stageline_engine.model.run import RunRow, RunState
from stageline_engine.model.session import SessionRow
from stageline_engine.model.submission import SubmissionRow
from stageline_engine.ports import (
    ALL_STAGES,
    Claim,
    ClaimedJob,
    DeadLetterKey,
    InputRequest,
    JobInputs,
    LoadedRun,
    OutboxBatch,
    OutboxSettlement,
    PurgeBefore,
    Purged,
    Selection,
)
from stageline_engine.records import ChangeSet, JobKey, KeyRecord, ResumeToken, SuspendedState

TIMED_OUT = "TIMED_OUT"
"""Why a session ended that was not heard of in time."""


class MemoryUnitOfWork:
    """The UnitOfWork port. See there for what each method promises."""

    def __init__(self, state: MemoryState) -> None:
        """Begins; ``release`` must be called in the end."""
        self._state = state
        self._held: list[Hashable] = []
        self._jobs: dict[JobKey, JobRow] = {}
        self._sessions: dict[UUID, SessionRow] = {}
        self._at_commit: list[Callable[[MemoryState], None]] = []

    def release(self) -> None:
        """Ends the transaction: what was not committed is gone, and the locks are free."""
        for key in self._held:
            self._state.locks.release(key, self)
        self._held.clear()

    async def load_runs(self, wanted: Mapping[UUID, Selection]) -> Sequence[LoadedRun]:
        """Locks runs in id order and reads them with the selected stages."""
        loaded = []
        for run_id in sorted(wanted):
            if run_id not in self._state.runs:
                continue
            await self._lock(("run", run_id))
            loaded.append(self._load(run_id, wanted[run_id]))
        return loaded

    def _load(self, run_id: UUID, selection: Selection) -> LoadedRun:
        stages = self._state.stages.get(run_id, {})
        numbers = sorted(stages if selection >= ALL_STAGES else selection & stages.keys())
        jobs = [job for number in numbers if (job := self._job((run_id, number))) is not None]
        return LoadedRun(self._state.runs[run_id], [stages[number] for number in numbers], jobs)

    async def load_outputs(
        self, wanted: Mapping[UUID, Collection[int]], bytes_max: int
    ) -> Mapping[JobKey, str]:
        """Reads outputs of completed stages that are no longer than ``bytes_max``."""
        keys = [(run_id, number) for run_id, numbers in wanted.items() for number in numbers]
        texts = {key: commit.output_of(self._state, key) for key in keys}
        return {
            key: text for key, text in texts.items() if text is not None and len(text.encode()) <= bytes_max
        }

    async def load_configs(self, run_ids: Collection[UUID]) -> Mapping[UUID, str]:
        """Reads the whole configs of locked runs."""
        return {
            run_id: self._state.payloads[run_id].config
            for run_id in run_ids
            if run_id in self._state.payloads
        }

    async def claim_jobs(self, route_ids: Sequence[int], limit: int) -> Claim:
        """Locks the most urgent ready jobs of these routes, passing over runs that others have locked."""
        queue = [(urgency(job), job) for job in self._ready(set(route_ids))]
        heapify(queue)
        claimed: list[ClaimedJob] = []
        contended = False
        while queue and len(claimed) < limit:
            _, job = heappop(queue)
            if self._try_lock(("run", job.run_id)):
                stage = self._state.stages[job.run_id][job.stage_number]
                claimed.append(ClaimedJob(self._state.runs[job.run_id], stage, job))
            else:
                contended = True
        return Claim(claimed, contended)

    async def queue_heads(self, route_ids: Collection[int]) -> Mapping[int, Urgency]:
        """Returns the most urgent ready job of each route that has one."""
        heads: dict[int, Urgency] = {}
        for job in self._ready(set(route_ids)):
            heads[job.route_id] = min(urgency(job), heads.get(job.route_id, urgency(job)))
        return heads

    def _ready(self, route_ids: Collection[int]) -> list[JobRow]:
        """Ready jobs as this transaction sees them."""
        stored = [job for route_id in route_ids for job in self._state.ready_jobs.get(route_id, {}).values()]
        return stored + [job for job in self._jobs.values() if job.route_id in route_ids]

    async def reserve_keys(self, keys: Collection[KeyName]) -> Mapping[KeyName, KeyRecord | None]:
        """Reserves keys until the transaction ends, leaving out those that others hold."""
        return {key: self._state.keys.get(key) for key in sorted(keys) if self._try_lock(("key", key))}

    async def expire_sessions(self, now: datetime, limit: int) -> Sequence[UUID]:
        """Ends sessions whose time is over, and finds ended ones that still hold jobs."""
        holders = {job.session_id for job in self._state.jobs.values() if job.session_id is not None}
        sessions = sorted(self._state.sessions.values(), key=_expiry)
        living = [one for one in sessions if one.ended_at is None and one.expires_at <= now]
        ended = [one for one in sessions if one.ended_at is not None and one.id in holders]
        expired: list[SessionRow] = []
        for session in (*living, *ended):
            if len(expired) < limit and self._try_lock(("session", session.id)):
                expired.append(session)
                if session.ended_at is None:
                    self._sessions[session.id] = replace(session, ended_at=now, end_reason=TIMED_OUT)
        gone = sorted(holders - self._state.sessions.keys())[: limit - len(expired)]
        return [*gone, *(session.id for session in sorted(expired, key=_expiry))]

    async def jobs_of_sessions(self, session_ids: Collection[UUID]) -> Sequence[JobKey]:
        """Returns the jobs leased by these sessions."""
        wanted = set(session_ids)
        return sorted(key for key, job in self._state.jobs.items() if job.session_id in wanted)

    async def promote_jobs(self, now: datetime, limit: int) -> tuple[Sequence[int], datetime | None]:
        """Makes delayed jobs ready whose time has come, passing over runs that others have locked."""
        delayed = [
            job
            for key in self._state.jobs
            if (job := self._job(key)) is not None and job.state is JobState.DELAYED
        ]
        delayed.sort(key=lambda job: (job.available_at, job.run_id, job.stage_number))
        promoted: list[int] = []
        waiting: list[datetime] = []
        for job in delayed:
            due = job.available_at <= now and len(promoted) < limit
            if due and self._try_lock(("run", job.run_id)):
                ready = replace(job, state=JobState.READY, version=job.version + 1)
                self._jobs[job.run_id, job.stage_number] = ready
                promoted.append(job.route_id)
            else:
                waiting.append(job.available_at)
        return promoted, min(waiting, default=None)

    async def claim_pending_runs(self, now: datetime, limit: int) -> tuple[Sequence[RunRow], datetime | None]:
        """Locks PENDING runs whose time has come, passing over what others have locked."""
        pending = [run for run in self._state.runs.values() if run.state is RunState.PENDING]
        pending.sort(key=lambda run: (-run.priority, run.id))
        claimed: list[RunRow] = []
        waiting: list[datetime] = []
        for run in pending:
            due = run.start_at is None or run.start_at <= now
            if due and len(claimed) < limit and self._try_lock(("run", run.id)):
                claimed.append(run)
            else:
                waiting.append(run.start_at or now)
        return claimed, min(waiting, default=None)

    async def due_deadlines(
        self, now: datetime, limit: int
    ) -> tuple[Sequence[JobKey], Sequence[UUID], datetime | None]:
        """Returns jobs and open runs whose deadline has passed, and the earliest of the others."""
        jobs = sorted(
            (job.deadline_at, job.run_id, job.stage_number)
            for job in self._state.jobs.values()
            if job.deadline_at is not None
        )
        open_runs = sorted(
            (run.deadline_at, run.id)
            for run in self._state.runs.values()
            if run.deadline_at is not None and not run.state.terminal
        )
        due_jobs = [(run_id, number) for moment, run_id, number in jobs if moment <= now][:limit]
        due_runs = [run_id for moment, run_id in open_runs if moment <= now][:limit]
        later = [moment for moment, *_ in jobs[len(due_jobs) :]] + [
            moment for moment, _ in open_runs[len(due_runs) :]
        ]
        return due_jobs, due_runs, min(later, default=None)

    async def stuck_runs(self, limit: int) -> Sequence[UUID]:
        """Returns RUNNING runs with an open stage that has no job, or with no open stage at all."""
        found = []
        for run_id, run in sorted(self._state.runs.items()):
            if run.state is RunState.RUNNING:
                stages = self._state.stages.get(run_id, {}).values()
                open_numbers = [stage.number for stage in stages if not stage.state.terminal]
                jobless = [number for number in open_numbers if (run_id, number) not in self._state.jobs]
                if jobless or not open_numbers:
                    found.append(run_id)
        return found[:limit]

    async def load_resume_token(self, token_sha256: bytes) -> ResumeToken | None:
        """Returns what is stored of a resume token."""
        return self._state.resume_tokens.get(token_sha256)

    async def load_waits(self, keys: Collection[JobKey]) -> Sequence[SuspendedState]:
        """Returns what suspended stages wait with."""
        kept = [self._state.suspended_states.get(key) for key in keys]
        return [
            wait
            for wait in kept
            if wait is not None
            and wait.generation == self._state.stages[wait.run_id][wait.stage_number].generation
        ]

    async def known_annotations(self, wanted: Mapping[UUID, Collection[str]]) -> Collection[tuple[UUID, str]]:
        """Returns those annotations that are stored already."""
        return [
            (run_id, annotation_id)
            for run_id, ids in wanted.items()
            for annotation_id in ids
            if annotation_id in self._state.annotations.get(run_id, ())
        ]

    async def known_ai_calls(self, wanted: Mapping[str, Collection[UUID]]) -> Mapping[tuple[str, UUID], bool]:
        """Returns those AI calls that are stored already."""
        pairs = [(namespace, id_) for namespace, ids in wanted.items() for id_ in ids]
        known = self._state.ai_calls
        return {pair: known[pair].call.is_open for pair in pairs if pair in known}

    async def load_submissions(
        self, executions: Collection[tuple[UUID, int, int]]
    ) -> Sequence[SubmissionRow]:
        """Returns what stages of locked runs submitted elsewhere."""
        kept = [self._state.submissions.get(execution, {}) for execution in executions]
        return [row for rows in kept for row in rows.values()]

    async def revive_outbox(
        self, letters: Collection[DeadLetterKey], *, consumer: str = "", skip: bool, limit: int
    ) -> Sequence[DeadLetterKey]:
        """Lets dead-lettered streams go on, passing over what others have locked."""
        revived = [
            key
            for key, _ in outbox.dead_letters(self._state)
            if (not letters or key in letters)
            and consumer in ("", key.consumer)
            and self._try_lock(("outbox", key.run_id, key.consumer))
        ][:limit]
        self._at_commit.append(lambda state: outbox.revive(state, revived, skip=skip))
        return revived

    async def keep_consumers(self, names: Collection[str], now: datetime) -> None:
        """Notes that these consumers live."""
        self._at_commit.append(lambda state: state.consumers.update(dict.fromkeys(names, now)))

    async def forget_consumers(self, seen_before: datetime) -> Sequence[str]:
        """Removes consumers that were last kept before a time, with their streams."""
        names = sorted(name for name, seen_at in self._state.consumers.items() if seen_at < seen_before)
        self._at_commit.append(lambda state: outbox.forget(state, names))
        return names

    async def sequence_events(self, now: datetime, limit: int) -> int:
        """Gives committed events their place in the log, and each consumer its streams, one transaction at a time."""
        await self._lock("event log")
        count = min(limit, len(self._state.commits))
        self._at_commit.append(lambda state: outbox.sequence(state, now, count))
        return count

    async def claim_outbox(
        self, consumer: str, now: datetime, limit: int, locked_until: datetime
    ) -> Sequence[OutboxBatch]:
        """Takes streams that are due until a time, passing over what another flusher has."""
        batches: list[OutboxBatch] = []
        for run_id in outbox.due_runs(self._state, consumer, now):
            if limit <= 0:
                break
            if self._try_lock(("outbox", run_id, consumer)):
                batch = outbox.next_batch(self._state, (run_id, consumer), limit)
                batches.append(batch)
                limit -= len(batch.events)
        claimed = [(batch.run_id, consumer) for batch in batches]
        self._at_commit.append(lambda state: _claim(state, claimed, locked_until))
        return batches

    async def next_outbox_due(self, consumer: str, locked_until: datetime) -> datetime | None:
        """Returns when a stream of a consumer is due next, leaving out what was claimed until this very time."""
        return outbox.next_due(self._state, consumer, locked_until)

    async def settle_outbox(self, consumer: str, settlements: Sequence[OutboxSettlement]) -> None:
        """Notes what became of claimed streams."""
        for settlement in sorted(settlements, key=lambda settlement: settlement.run_id):
            await self._lock(("outbox", settlement.run_id, consumer))
            self._at_commit.append(partial(outbox.settle, consumer=consumer, settlement=settlement))

    async def purge_runs(self, ended_before: datetime, limit: int) -> Sequence[UUID]:
        """Deletes ended runs with all that is theirs."""
        gone: list[UUID] = []
        for run_id in retention.old_runs(self._state, ended_before):
            if len(gone) < limit and self._try_lock(("run", run_id)):
                gone.append(run_id)
        self._at_commit.append(lambda state: retention.purge_runs(state, gone))
        return sorted(gone)

    async def purge_records(self, before: PurgeBefore, limit: int) -> Purged:
        """Deletes what is kept for a time only."""
        doomed = retention.old_records(self._state, before, limit)
        self._at_commit.append(lambda state: retention.purge_records(state, doomed))
        return Purged(*map(len, doomed))

    async def commit(self, changes: ChangeSet, inputs: Sequence[InputRequest] = ()) -> Sequence[JobInputs]:
        """Writes everything or nothing, reads what leased jobs need, and ends the transaction."""
        commit.check(self._state, changes, self._jobs)
        for job in self._jobs.values():
            self._state.put_job(job)
        self._state.sessions.update(self._sessions)
        for change in self._at_commit:
            change(self._state)
        commit.write(self._state, changes)
        answers = [commit.read_inputs(self._state, request) for request in inputs]
        self.release()
        return answers

    def _job(self, key: JobKey) -> JobRow | None:
        """A job as this transaction sees it."""
        return self._jobs.get(key) or self._state.jobs.get(key)

    async def _lock(self, key: Hashable) -> None:
        await self._state.locks.acquire(key, self)
        self._held.append(key)

    def _try_lock(self, key: Hashable) -> bool:
        taken = self._state.locks.try_acquire(key, self)
        if taken:
            self._held.append(key)
        return taken


def _expiry(session: SessionRow) -> tuple[datetime, UUID]:
    return session.expires_at, session.id


def _claim(state: MemoryState, keys: Sequence[StreamKey], locked_until: datetime) -> None:
    for key in keys:
        state.streams[key].locked_until = locked_until
