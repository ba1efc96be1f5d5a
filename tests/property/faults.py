"""Stores that are wrong in one way each: what the simulator must find."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from msgspec import structs

from stageline_engine.ports import (
    ALL_STAGES,
    Claim,
    InputRequest,
    JobInputs,
    LoadedRun,
    Persistence,
    RunFilter,
    RunPage,
    Selection,
    UnitOfWork,
)
from stageline_engine.records import ChangeSet
from stageline_engine.testing import Backend, in_memory

Spoil = Callable[[ChangeSet], ChangeSet]


class Faulty:
    """A transaction that passes everything on."""

    def __init__(self, work: UnitOfWork) -> None:
        self.work = work

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method: Callable[..., Awaitable[Any]] = getattr(self.work, name)
        return method


def spoiling(spoil: Spoil) -> type[Faulty]:
    """Transactions that write something else than they were told."""

    class Spoiling(Faulty):
        async def commit(
            self, changes: ChangeSet, inputs: Sequence[InputRequest] = ()
        ) -> Sequence[JobInputs]:
            return await self.work.commit(spoil(changes), inputs)

    return Spoiling


class Unfenced(Faulty):
    """Guards no write by the version that was read, and holds no lock while others may write."""

    async def load_runs(self, wanted: Mapping[UUID, Selection]) -> Sequence[LoadedRun]:
        loaded = await self.work.load_runs(wanted)
        self.work.release()  # type: ignore[attr-defined]  # what the store in memory calls it
        return loaded

    async def commit(self, changes: ChangeSet, inputs: Sequence[InputRequest] = ()) -> Sequence[JobInputs]:
        now = {loaded.run.id: loaded for loaded in await self.work.load_runs(_every(changes))}
        versions = {run_id: loaded.run.version for run_id, loaded in now.items()}
        stages = {
            (run_id, stage.number): stage.version for run_id, one in now.items() for stage in one.stages
        }
        jobs = {(run_id, job.stage_number): job.version for run_id, one in now.items() for job in one.jobs}
        unguarded = replace(
            changes,
            runs_updated=[structs.replace(run, version=versions[run.id]) for run in changes.runs_updated],
            stages_updated=[
                structs.replace(stage, version=stages[stage.run_id, stage.number])
                for stage in changes.stages_updated
            ],
            jobs_updated=[
                structs.replace(job, version=jobs[job.run_id, job.stage_number])
                for job in changes.jobs_updated
                if (job.run_id, job.stage_number) in jobs
            ],
            jobs_deleted=[
                structs.replace(job, version=jobs[job.run_id, job.stage_number])
                for job in changes.jobs_deleted
                if (job.run_id, job.stage_number) in jobs
            ],
            events=[
                event for event in changes.events if event.sequence > now[event.run_id].run.event_sequence
            ]
            if now
            else changes.events,
        )
        return await self.work.commit(unguarded, inputs)


def _every(changes: ChangeSet) -> Mapping[UUID, Selection]:
    return {run.id: ALL_STAGES for run in changes.runs_updated}


class Blind(Faulty):
    """Sessions live for ever."""

    async def expire_sessions(self, *args: Any) -> Sequence[UUID]:
        return []


class Unordered(Faulty):
    """The least urgent job comes first."""

    async def claim_jobs(self, route_ids: Sequence[int], limit: int) -> Claim:
        claim = await self.work.claim_jobs(route_ids, 1000)
        return Claim(list(claim.jobs)[::-1][:limit], claim.contended)


class Forgetful(Faulty):
    """Says that it has committed, and has not, where a stage completes."""

    async def commit(self, changes: ChangeSet, inputs: Sequence[InputRequest] = ()) -> Sequence[JobInputs]:
        if any(result.output is not None for result in changes.results):
            changes = ChangeSet()
        return await self.work.commit(changes, inputs)


FAULTS: Mapping[str, type[Faulty]] = {
    "loses all updates of jobs but one": spoiling(
        lambda changes: replace(changes, jobs_updated=changes.jobs_updated[:1])
    ),
    "loses one event of several": spoiling(
        lambda changes: replace(
            changes, events=changes.events[:-1] if len(changes.events) > 2 else changes.events
        )
    ),
    "keeps the jobs of what has ended": spoiling(lambda changes: replace(changes, jobs_deleted=[])),
    "forgets keys": spoiling(lambda changes: replace(changes, keys=[])),
    "forgets that a token was used": spoiling(lambda changes: replace(changes, resume_tokens_used=[])),
    "loses outputs": spoiling(lambda changes: replace(changes, results=[])),
    "forgets remarks": spoiling(lambda changes: replace(changes, annotations=[])),
    "lets go of payloads that runs refer to": spoiling(lambda changes: replace(changes, payload_uses=[])),
    "keeps artifacts of what runs again": spoiling(lambda changes: replace(changes, artifacts_superseded=[])),
    "does not recognise a repeated report": spoiling(
        lambda changes: replace(
            changes,
            stages_updated=[structs.replace(stage, recorded_token=None) for stage in changes.stages_updated],
        )
    ),
    "forgets what was submitted elsewhere": spoiling(lambda changes: replace(changes, submissions=[])),
    "skips locks and fences": Unfenced,
    "never ends a session": Blind,
    "acknowledges what it has not written": Forgetful,
}
"""Each is found in memory alone."""


def faulty(kind: type[Faulty]) -> Any:
    """Opens backends in memory that have this fault."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Backend]:
        backend = in_memory()
        yield replace(backend, persistence=FaultyPersistence(backend.persistence, kind))

    return opened


@asynccontextmanager
async def indiscreet() -> AsyncIterator[Backend]:
    """Opens backends that list other tenants' runs as well."""
    backend = in_memory()
    yield replace(backend, queries=_Indiscreet(backend.queries))


class FaultyPersistence:
    def __init__(self, persistence: Persistence, kind: type[Faulty]) -> None:
        self._persistence = persistence
        self._kind = kind

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Any]:
        async with self._persistence.begin() as work:
            yield self._kind(work)


class _Indiscreet:
    def __init__(self, queries: Any) -> None:
        self._queries = queries

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queries, name)

    async def list_runs(self, which: RunFilter, **fields: Any) -> RunPage:
        page: RunPage = await self._queries.list_runs(replace(which, namespace="other"), **fields)
        return page
