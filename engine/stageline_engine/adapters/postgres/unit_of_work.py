"""One of the kernel's transactions: one round trip to lock and read, one to write and commit."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from psycopg.types.numeric import Int4, Int8

from stageline_engine.adapters.postgres import rows
from stageline_engine.adapters.postgres.arrays import array
from stageline_engine.adapters.postgres.inputs import InputReader
from stageline_engine.adapters.postgres.pipeline import Pipeline
from stageline_engine.adapters.postgres.statements import (
    annotations,
    blobs,
    event_log,
    jobs,
    outbox,
    retention,
    runs,
    sessions,
    submissions,
    usage,
)
from stageline_engine.adapters.postgres.statements import changes as write
from stageline_engine.adapters.postgres.statements.columns import IDEMPOTENCY_KEYS, RUN_PAYLOADS
from stageline_engine.adapters.postgres.wire import Rows, Sent
from stageline_engine.decide.lease import Urgency
from stageline_engine.model.job import JobRow
from stageline_engine.model.run import RunRow
from stageline_engine.model.stage import StageRow
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
from stageline_engine.records import ChangeSet, EventSource, JobKey, KeyRecord, ResumeToken, SuspendedState

KeyName = tuple[str, str, str]

_FEW_ROUTES = 16  # each is looked up; of more, those are sought out that have ready jobs at all
_SUPERSEDED_TYPES = ("uuid", "integer", "integer", "timestamptz")
_SETTLEMENT_TYPES = ("uuid", "timestamptz", "bigint", "integer", "timestamptz", "timestamptz", "text")
_SEQUENCE_LOCK = 0x5374_6167_6576_7473  # an advisory lock of the database, used by nobody else


class PostgresUnitOfWork:
    """The UnitOfWork port. See there for what each method promises."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Takes the transaction."""
        self._pipeline = pipeline

    async def load_runs(self, wanted: Mapping[UUID, Selection]) -> Sequence[LoadedRun]:
        """Locks runs in id order and reads them with the selected stages."""
        if not wanted:
            return []
        pipeline = self._pipeline
        locked = await pipeline.send(runs.LOCK_RUNS, [array("uuid", wanted)])
        sent = [await pipeline.send(*statement) for statement in _stage_statements(wanted)]
        found = [rows.run_row(values) for values in await pipeline.rows(locked)]
        stages, live = _by_run([values for cursor in sent for values in await pipeline.rows(cursor)])
        return [LoadedRun(run, stages.get(run.id, ()), live.get(run.id, ())) for run in found]

    async def load_outputs(
        self, wanted: Mapping[UUID, Collection[int]], bytes_max: int
    ) -> Mapping[JobKey, str]:
        """Reads outputs of completed stages that are no longer than ``bytes_max``."""
        keys = [(run_id, number) for run_id, numbers in wanted.items() for number in numbers]
        parameters = [*write.arrays_of(("uuid", "integer"), keys), Int4(bytes_max)]
        found = await self._pipeline.fetch(runs.LOAD_OUTPUTS, parameters)
        return {(run_id, number): output for run_id, number, output in found}

    async def load_configs(self, run_ids: Collection[UUID]) -> Mapping[UUID, str]:
        """Reads the whole configs of locked runs."""
        return dict(await self._pipeline.fetch(runs.LOAD_CONFIGS, [array("uuid", run_ids)]))

    async def claim_jobs(self, route_ids: Sequence[int], limit: int) -> Claim:
        """Locks the most urgent ready jobs of these routes, passing over runs that others have locked."""
        found = await self._pipeline.fetch(jobs.CLAIM_JOBS, [array("integer", route_ids), Int4(limit)])
        claimed = [_claimed(values[1:]) for values in found if values[1] is not None]
        return Claim(claimed, contended=len(claimed) < limit and found[0][0] > len(claimed))

    async def queue_heads(self, route_ids: Collection[int]) -> Mapping[int, Urgency]:
        """Returns the most urgent ready job of each route that has one."""
        statement = jobs.QUEUE_HEADS if len(route_ids) <= _FEW_ROUTES else jobs.QUEUE_HEADS_OF_MANY
        found = await self._pipeline.fetch(statement, [array("integer", sorted(route_ids))])
        return {route_id: rows.urgency(*head) for route_id, *head in found}

    async def reserve_keys(self, keys: Collection[KeyName]) -> Mapping[KeyName, KeyRecord | None]:
        """Reserves keys until the transaction ends, leaving out those that others hold."""
        names = [key for key in keys if _storable(key)]
        reserved: dict[KeyName, KeyRecord | None] = {key: None for key in keys if not _storable(key)}
        if not names:
            return reserved
        locked = await self._pipeline.send(runs.LOCK_KEYS, [array("bigint", map(_lock_number, names))])
        stored = await self._pipeline.send(runs.READ_KEYS, write.arrays_of(("text", "text", "text"), names))
        reserved |= {names[position - 1]: None for (position,) in await self._pipeline.rows(locked)}
        for record in map(rows.key_record, await self._pipeline.rows(stored)):
            key = (record.namespace, record.command, record.key)
            if key in reserved:
                reserved[key] = record
        return reserved

    async def expire_sessions(self, now: datetime, limit: int) -> Sequence[UUID]:
        """Ends sessions whose time is over, and finds ended ones that still hold jobs."""
        expired = await self._pipeline.send(sessions.EXPIRE_SESSIONS, [now, Int4(limit)])
        holders = await self._pipeline.send(sessions.ENDED_HOLDERS, [Int4(limit)])
        found = {id_: expires_at for expires_at, id_ in await self._pipeline.rows(expired)}
        for expires_at, id_ in await self._pipeline.rows(holders):
            if len(found) < limit:
                found[id_] = expires_at
        return sorted(found, key=lambda id_: (found[id_], id_))

    async def jobs_of_sessions(self, session_ids: Collection[UUID]) -> Sequence[JobKey]:
        """Returns the jobs leased by these sessions."""
        found = await self._pipeline.fetch(jobs.JOBS_OF_SESSIONS, [array("uuid", session_ids)])
        return [(run_id, number) for run_id, number in found]

    async def promote_jobs(self, now: datetime, limit: int) -> tuple[Sequence[int], datetime | None]:
        """Makes delayed jobs ready whose time has come, passing over runs that others have locked."""
        promoted = await self._pipeline.send(jobs.PROMOTE_JOBS, [now, Int4(limit)])
        waiting = await self._pipeline.send(jobs.NEXT_DELAYED)
        routes = [route_id for (route_id,) in await self._pipeline.rows(promoted)]
        ((next_available_at,),) = await self._pipeline.rows(waiting)
        return routes, next_available_at

    async def claim_pending_runs(self, now: datetime, limit: int) -> tuple[Sequence[RunRow], datetime | None]:
        """Locks PENDING runs whose time has come, passing over what others have locked."""
        found = await self._pipeline.fetch(runs.CLAIM_PENDING, [now, Int4(limit)])
        claimed = [rows.run_row(values) for values in found]
        others = [now, array("uuid", [run.id for run in claimed])]
        next_start_at = [start_at for (start_at,) in await self._pipeline.fetch(runs.NEXT_PENDING, others)]
        return claimed, next(iter(next_start_at), None)

    async def due_deadlines(
        self, now: datetime, limit: int
    ) -> tuple[Sequence[JobKey], Sequence[UUID], datetime | None]:
        """Returns jobs and open runs whose deadline has passed, and the earliest of the others."""
        found = await self._pipeline.fetch(jobs.DUE_DEADLINES, [now, Int4(limit)])
        due_jobs = sorted((at, id_, number) for id_, number, at in found if number is not None and at <= now)
        due_runs = sorted((at, id_) for id_, number, at in found if number is None and at <= now)
        later = [at for *_, at in found if at > now]
        later += [at for at, *_ in (*due_jobs[limit:], *due_runs[limit:])]
        keys = [(id_, number) for _, id_, number in due_jobs[:limit]]
        return keys, [id_ for _, id_ in due_runs[:limit]], min(later, default=None)

    async def stuck_runs(self, limit: int) -> Sequence[UUID]:
        """Returns RUNNING runs with an open stage that has no job, or with no open stage at all."""
        return [run_id for (run_id,) in await self._pipeline.fetch(runs.STUCK_RUNS, [Int4(limit)])]

    async def load_resume_token(self, token_sha256: bytes) -> ResumeToken | None:
        """Returns what is stored of a resume token."""
        found = await self._pipeline.fetch(runs.LOAD_RESUME_TOKEN, [token_sha256])
        return rows.resume_token(found[0]) if found else None

    async def load_waits(self, keys: Collection[JobKey]) -> Sequence[SuspendedState]:
        """Returns what suspended stages wait with."""
        found = await self._pipeline.fetch(runs.LOAD_WAITS, write.arrays_of(("uuid", "integer"), list(keys)))
        return [SuspendedState(*values) for values in found]

    async def known_annotations(self, wanted: Mapping[UUID, Collection[str]]) -> Collection[tuple[UUID, str]]:
        """Returns those annotations that are stored already."""
        pairs = [(run_id, id_) for run_id, ids in wanted.items() for id_ in ids if "\0" not in id_]
        found = await self._pipeline.fetch(
            annotations.KNOWN_ANNOTATIONS, write.arrays_of(("uuid", "text"), pairs)
        )
        return [(run_id, id_) for run_id, id_ in found]

    async def known_ai_calls(self, wanted: Mapping[str, Collection[UUID]]) -> Mapping[tuple[str, UUID], bool]:
        """Returns those AI calls that are stored already, and whether each is open."""
        pairs = [(namespace, id_) for namespace, ids in wanted.items() for id_ in ids]
        found = await self._pipeline.fetch(usage.KNOWN_AI_CALLS, write.arrays_of(("text", "uuid"), pairs))
        return {(namespace, id_): is_open for namespace, id_, is_open in found}

    async def load_submissions(
        self, executions: Collection[tuple[UUID, int, int]]
    ) -> Sequence[SubmissionRow]:
        """Returns what stages of locked runs submitted elsewhere."""
        wanted = write.arrays_of(("uuid", "integer", "integer"), executions)
        found = await self._pipeline.fetch(submissions.LOAD_SUBMISSIONS, wanted)
        return [rows.submission_row(values) for values in found]

    async def revive_outbox(
        self, letters: Collection[DeadLetterKey], *, consumer: str = "", skip: bool, limit: int
    ) -> Sequence[DeadLetterKey]:
        """Lets dead-lettered streams go on, passing over what others have locked."""
        keys = write.arrays_of(("uuid", "text", "bigint"), letters)
        given = [Int4(limit), skip, consumer, *keys]
        return [DeadLetterKey(*found) for found in await self._pipeline.fetch(outbox.REVIVE_OUTBOX, given)]

    async def keep_consumers(self, names: Collection[str], now: datetime) -> None:
        """Notes that these consumers live."""
        await self._pipeline.send(event_log.KEEP_CONSUMERS, [array("text", names), now])

    async def forget_consumers(self, seen_before: datetime) -> Sequence[str]:
        """Removes consumers that were last kept before a time, with their streams."""
        return [name for (name,) in await self._pipeline.fetch(event_log.FORGET_CONSUMERS, [seen_before])]

    async def sequence_events(self, now: datetime, limit: int) -> int:
        """Gives committed events their place in the log, and each consumer its streams, one transaction at a time."""
        await self._pipeline.send(event_log.LOCK_LOG, [Int8(_SEQUENCE_LOCK)])
        ((count,),) = await self._pipeline.fetch(event_log.SEQUENCE_EVENTS, [now, Int4(limit)])
        return int(count)

    async def claim_outbox(
        self, consumer: str, now: datetime, limit: int, locked_until: datetime
    ) -> Sequence[OutboxBatch]:
        """Takes streams that are due until a time, passing over what another flusher has."""
        found = await self._pipeline.fetch(outbox.CLAIM_OUTBOX, [now, Int4(limit), locked_until, consumer])
        return [
            OutboxBatch(
                EventSource(run_id, *source), [rows.event_row(values[3:]) for values in stream], tries
            )
            for (run_id, tries, *source), stream in _grouped(found)
        ]

    async def next_outbox_due(self, consumer: str, locked_until: datetime) -> datetime | None:
        """Returns when a stream of a consumer is due next, leaving out what was claimed until this very time."""
        found = await self._pipeline.fetch(outbox.NEXT_DUE, [consumer, locked_until])
        return found[0][0] if found else None

    async def settle_outbox(self, consumer: str, settlements: Sequence[OutboxSettlement]) -> None:
        """Notes what became of claimed streams and frees them."""
        given = [
            (
                one.run_id,
                one.locked_until,
                one.published_up_to,
                one.tries,
                one.next_try_at,
                one.dead_at,
                one.last_error,
            )
            for one in settlements
        ]
        if given:
            settled = write.arrays_of(_SETTLEMENT_TYPES, given)
            await self._pipeline.send(outbox.SETTLE_OUTBOX, [*settled, consumer])

    async def purge_runs(self, ended_before: datetime, limit: int) -> Sequence[UUID]:
        """Deletes ended runs with all that is theirs."""
        found = await self._pipeline.fetch(retention.DOOMED_RUNS, [ended_before, Int4(limit)])
        run_ids = sorted(id_ for (id_,) in found)
        if run_ids:
            parameters = write.arrays_of(("uuid",), [(id_,) for id_ in run_ids])
            await self._pipeline.send(usage.SETTLE_CALLS, parameters)
            await self._pipeline.send(retention.PURGE_RUNS, parameters)
        return run_ids

    async def purge_records(self, before: PurgeBefore, limit: int) -> Purged:
        """Deletes what is kept for a time only."""
        statements = (retention.PURGE_KEYS, retention.TRIM_LOG, retention.PURGE_SESSIONS)
        sent = [
            None if moment is None else await self._pipeline.send(statement, [moment, Int4(limit)])
            for statement, moment in zip(statements, before, strict=True)
        ]
        return Purged(*[0 if one is None else len(await self._pipeline.rows(one)) for one in sent])

    async def commit(self, changes: ChangeSet, inputs: Sequence[InputRequest] = ()) -> Sequence[JobInputs]:
        """Writes everything or nothing, reads what leased jobs need, and ends the transaction."""
        pipeline, reader = self._pipeline, InputReader(inputs, changes)
        parameters, parts = write.parts_of(changes)
        if changes.payloads:
            payloads = [column.collect(changes.payloads) for column in RUN_PAYLOADS.columns]
            await pipeline.send(runs.INSERT_PAYLOADS, payloads)
        if changes.configs:
            configs = [(run_id, config.encode()) for run_id, config in changes.configs]
            await pipeline.send(runs.UPDATE_CONFIGS, write.arrays_of(("uuid", "json"), configs))
        if changes.artifacts_superseded:
            gone = [
                (one.run_id, one.first_stage_number, one.generation, one.at)
                for one in changes.artifacts_superseded
            ]
            await pipeline.send(blobs.SUPERSEDE_ARTIFACTS, write.arrays_of(_SUPERSEDED_TYPES, gone))
        if changes.keys:
            keys = [column.collect(changes.keys) for column in IDEMPOTENCY_KEYS.columns]
            await pipeline.send(runs.INSERT_KEYS, keys)
        written: Sent | None = None
        if parts or reader.wants_payloads:
            statement = write.write_changes(
                parts,
                payloads=reader.wants_payloads,
                outputs=reader.wants_outputs,
                states=reader.wants_states,
                submissions=reader.wants_submissions,
            )
            written = await pipeline.send(statement, parameters + reader.parameters())
        if pipeline.begun:
            await pipeline.commit()
        return reader.answers(await pipeline.rows(written) if written else [])


def _stage_statements(wanted: Mapping[UUID, Selection]) -> list[tuple[bytes, list[Any]]]:
    """What to ask for the selected stages: whole runs, and single stages."""
    whole = [run_id for run_id, numbers in wanted.items() if numbers >= ALL_STAGES]
    single = [
        (run_id, number)
        for run_id, numbers in wanted.items()
        if not numbers >= ALL_STAGES
        for number in numbers
    ]
    statements: list[tuple[bytes, list[Any]]] = []
    if whole:
        statements.append((runs.LOAD_ALL_STAGES, [array("uuid", whole)]))
    if single:
        statements.append((runs.LOAD_STAGES, list(write.arrays_of(("uuid", "integer"), single))))
    return statements


def _by_run(found: Rows) -> tuple[dict[UUID, list[StageRow]], dict[UUID, list[JobRow]]]:
    """Stages and their live jobs by run."""
    stages: dict[UUID, list[StageRow]] = {}
    live: dict[UUID, list[JobRow]] = {}
    for values in found:
        run_id, job = values[0], values[rows.STAGE_WIDTH :]
        stages.setdefault(run_id, []).append(rows.stage_row(values[: rows.STAGE_WIDTH]))
        if job[0] is not None:
            live.setdefault(run_id, []).append(rows.job_row(job))
    return stages, live


def _claimed(values: tuple[Any, ...]) -> ClaimedJob:
    run, rest = values[: rows.RUN_WIDTH], values[rows.RUN_WIDTH :]
    stage, job = rest[: rows.STAGE_WIDTH], rest[rows.STAGE_WIDTH :]
    return ClaimedJob(rows.run_row(run), rows.stage_row(stage), rows.job_row(job))


def _grouped(found: Rows) -> list[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]:
    """Events by stream, in the order in which they came: run, tries, namespace and workflow name are the stream's."""
    return [
        (key, list(stream))
        for key, stream in groupby(found, key=lambda values: (values[3], values[0], values[1], values[2]))
    ]


def _storable(key: KeyName) -> bool:
    """Whether PostgreSQL can hold a key at all; one that it cannot is as good as new, and is refused by the caller."""
    return not any("\0" in part for part in key)


def _lock_number(key: KeyName) -> int:
    """The number of a key's advisory lock. Two keys of one number would only wait for each other."""
    digest = hashlib.blake2b("\0".join(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
