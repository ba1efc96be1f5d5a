"""``job.leaseOnce`` for a batch: leases for a worker without a stream, and the same again for a repeat."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import orjson

from stageline_engine.acceptance import request_id_violations
from stageline_engine.commands import LeasedOnce, LeaseJobs, LeaseOnce
from stageline_engine.handlers.context import Batch
from stageline_engine.handlers.idempotency import KeyReservations
from stageline_engine.handlers.lease import lease_demands, start_jobs
from stageline_engine.handlers.runs import run_not_found
from stageline_engine.model.job import JobRow, JobState
from stageline_engine.ports import ALL_STAGES
from stageline_engine.rejections import Reason, Rejection, out_of_limits

COMMAND = "job.leaseOnce"

STAGE_IDS_TOLD_MAX = 50
"""Stages that a refusal names."""


async def lease_once(batch: Batch, commands: Sequence[LeaseOnce]) -> list[LeasedOnce | Rejection]:
    """Leases ready jobs to sessions without a stream."""
    keys = await KeyReservations.reserve(batch, COMMAND, commands)
    known = {command: keys.known_result(command, _fingerprint(command)) for command in commands}
    earlier = {UUID(orjson.loads(told)) for told in known.values() if isinstance(told, bytes)}
    targets = {command.run_id for command in commands if command.run_id is not None}
    await batch.load(dict.fromkeys(targets | await _runs_of(batch, earlier), ALL_STAGES))
    results: list[LeasedOnce | Rejection] = []
    for command in commands:
        told = known[command] or keys.known_result(command, _fingerprint(command))
        if isinstance(told, Rejection):
            results.append(told)
        elif told is not None:
            results.append(_again(batch, UUID(orjson.loads(told))))
        else:
            results.append(await _lease(batch, command, keys))
    return results


async def _runs_of(batch: Batch, session_ids: Collection[UUID]) -> set[UUID]:
    return {run_id for run_id, _ in await batch.work.jobs_of_sessions(session_ids)} if session_ids else set()


def _again(batch: Batch, session_id: UUID) -> LeasedOnce:
    """Offers again what the first call leased, as far as it is still held."""
    held = [
        job
        for records in batch.space.runs.values()
        for job in records.jobs.values()
        if job.session_id == session_id
    ]
    batch.space.offered_again.extend(held)
    return LeasedOnce(session_id, len(held), replayed=True)


async def _lease(batch: Batch, command: LeaseOnce, keys: KeyReservations) -> LeasedOnce | Rejection:
    wrong = tuple(request_id_violations(command.idempotency_key))
    if wrong:
        return out_of_limits(wrong)
    if command.run_id is None:
        found = await lease_demands(batch, LeaseJobs((command.demand,)))
        leased, contended = found.leased, found.contended
    else:
        ready = _ready_jobs(batch, command, command.run_id)
        if isinstance(ready, Rejection):
            return ready
        leased, contended = start_jobs(batch, ready, [command.demand]), False
    if leased:
        keys.remember(command, _fingerprint(command), orjson.dumps(str(command.demand.session_id)))
    return LeasedOnce(command.demand.session_id, leased, contended)


def _ready_jobs(batch: Batch, command: LeaseOnce, run_id: UUID) -> list[JobRow] | Rejection:
    """The ready jobs of the run, or of the one stage, that the command names."""
    view = batch.space.view(run_id)
    if view is None or view.run.namespace != command.namespace:
        return run_not_found(command.namespace, str(run_id))
    known: Mapping[str, int] = view.workflow.definition.number_by_id
    if command.stage_id and command.stage_id not in known:
        message = f"Run {run_id} has no stage {command.stage_id!r}."
        run = view.run
        facts = {
            "workflow_name": run.workflow_name,
            "workflow_version": str(run.workflow_version),
            "stage_id": command.stage_id,
            "valid_stage_ids": ",".join(list(known)[:STAGE_IDS_TOLD_MAX]),
        }
        return Rejection(Reason.STAGE_NOT_FOUND, message, facts)
    number = known.get(command.stage_id)
    return [
        job
        for job in view.jobs.values()
        if job.state is JobState.READY and number in (None, job.stage_number)
    ]


def _fingerprint(command: LeaseOnce) -> bytes:
    """What makes two calls the same: all but the session, which each call opens for itself."""
    demand = command.demand
    said = [list(demand.route_ids), demand.slots, str(command.run_id or ""), command.stage_id]
    return hashlib.sha256(orjson.dumps(said)).digest()
