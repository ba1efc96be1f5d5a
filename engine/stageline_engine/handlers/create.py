"""``run.create`` for a batch."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from stageline_engine.acceptance import accept
from stageline_engine.commands import CreateRun, RunCreation
from stageline_engine.decide.create import AcceptedRun, decide_create
from stageline_engine.handlers.context import Batch
from stageline_engine.handlers.idempotency import KeyReservations
from stageline_engine.model.definition_checks import name_faults
from stageline_engine.ports import WorkflowRegistry
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.workspace import RunRecords

COMMAND = "run.create"


async def prepare(command: CreateRun, registry: WorkflowRegistry, now: datetime) -> AcceptedRun | Rejection:
    """Checks a creation outside any transaction; definitions never change."""
    possible = not any(name_faults(command.workflow_name, "workflow_name"))
    workflow = (
        await registry.get(command.namespace, command.workflow_name, command.workflow_version)
        if possible
        else None
    )
    if workflow is not None:
        return accept(command, workflow, now)
    facts = {"namespace": command.namespace, "workflow_name": command.workflow_name}
    if possible and command.workflow_version and await registry.get(command.namespace, command.workflow_name):
        message = f"Workflow {command.workflow_name} has no version {command.workflow_version}."
        return Rejection(Reason.WORKFLOW_VERSION_NOT_FOUND, message, facts)
    message = (
        f"Workflow {command.workflow_name!r} is not registered in namespace {command.namespace!r}. "
        "Start a worker that has it, or register it, then try again."
    )
    return Rejection(Reason.WORKFLOW_NOT_FOUND, message, facts)


async def create_runs(batch: Batch, commands: Sequence[CreateRun]) -> list[RunCreation | Rejection]:
    """Creates runs; a refused one does not hurt its neighbours."""
    keys = await KeyReservations.reserve(batch, COMMAND, commands)
    results: list[RunCreation | Rejection] = []
    for command in commands:
        fingerprint = _fingerprint(command)
        known = keys.known_result(command, fingerprint)
        if isinstance(known, Rejection):
            results.append(known)
        elif known is not None:
            run_id, version = orjson.loads(known)
            results.append(RunCreation(run_id=UUID(run_id), workflow_version=version, replayed=True))
        else:
            results.append(await _create(batch, command, keys, fingerprint))
    return results


async def _create(
    batch: Batch, command: CreateRun, keys: KeyReservations, fingerprint: bytes
) -> RunCreation | Rejection:
    accepted = await prepare(command, batch.registry, batch.space.now)
    if isinstance(accepted, Rejection):
        return accepted
    run_id = batch.ids.new_id()
    batch.space.add(run_id, RunRecords(None, accepted.workflow))
    batch.space.apply_all(run_id, decide_create(accepted, run_id, batch.space.now))
    keys.remember(command, fingerprint, orjson.dumps([str(run_id), accepted.workflow.version]))
    return RunCreation(run_id, accepted.workflow.version, run=batch.space.runs[run_id].view().run)


def _fingerprint(command: CreateRun) -> bytes:
    """What must be the same when a key is used again; a version of 0 stays 0, whatever the newest is by then."""
    parts: list[Any] = [
        command.workflow_name,
        command.workflow_version,
        hashlib.sha256(command.input).hexdigest(),
        hashlib.sha256(command.config).hexdigest(),
        command.priority,
        sorted(command.labels.items()),
        command.start_at,
    ]
    if command.start_delay is not None:
        parts.append(command.start_delay.total_seconds())
    return hashlib.sha256(orjson.dumps(parts)).digest()
