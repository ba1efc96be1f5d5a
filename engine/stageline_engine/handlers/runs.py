"""``run.cancel`` and ``run.transition`` for a batch."""

import hashlib
from collections.abc import Sequence
from uuid import UUID

import orjson

from stageline_engine import events
from stageline_engine.acceptance import reason_violations, request_id_violations
from stageline_engine.commands import CancelRun, RunCancellation, RunTransition, TransitionRun
from stageline_engine.decide.cancel import decide_cancel
from stageline_engine.decide.repair import decide_repair
from stageline_engine.handlers.context import Batch
from stageline_engine.handlers.idempotency import KeyReservations
from stageline_engine.limits import EVENT_OUTPUT_BYTES_MAX
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.ports import ALL_STAGES
from stageline_engine.rejections import Reason, Rejection, out_of_limits

CANCEL = "run.cancel"


async def cancel_runs(batch: Batch, commands: Sequence[CancelRun]) -> list[RunCancellation | Rejection]:
    """Ends runs with their open stages and live jobs."""
    keys = await KeyReservations.reserve(batch, CANCEL, commands)
    await batch.load({command.run_id: ALL_STAGES for command in commands})
    return [_cancel(batch, command, keys) for command in commands]


def _cancel(batch: Batch, command: CancelRun, keys: KeyReservations) -> RunCancellation | Rejection:
    refusal = _refusal(command)
    if refusal is not None:
        return refusal
    fingerprint = hashlib.sha256(orjson.dumps([str(command.run_id), command.reason])).digest()
    known = keys.known_result(command, fingerprint)
    if isinstance(known, Rejection):
        return known
    if known is not None:
        cancelled, state = orjson.loads(known)
        return RunCancellation(cancelled, RunState(state))
    view = batch.space.view(command.run_id)
    if view is None or view.run.namespace != command.namespace:
        return run_not_found(command.namespace, str(command.run_id))
    cancelled = not view.run.state.terminal
    batch.space.apply_all(command.run_id, decide_cancel(view, command.reason))
    state = batch.space.runs[command.run_id].view().run.state
    keys.remember(command, fingerprint, orjson.dumps([cancelled, state.value]))
    return RunCancellation(cancelled, state)


def _refusal(command: CancelRun) -> Rejection | None:
    wrong = (*request_id_violations(command.idempotency_key), *reason_violations(command.reason))
    return out_of_limits(wrong) if wrong else None


def run_not_found(namespace: str, run_id: str) -> Rejection:
    """The rejection of a run id that is unknown in a namespace."""
    facts = {"namespace": namespace, "run_id": run_id}
    return Rejection(Reason.RUN_NOT_FOUND, f"There is no run {run_id} in namespace {namespace!r}.", facts)


async def transition_runs(batch: Batch, commands: Sequence[TransitionRun]) -> list[RunTransition | Rejection]:
    """Brings runs to where their rows say that they should be."""
    await batch.load({command.run_id: ALL_STAGES for command in commands})
    return [await _transition(batch, command) for command in commands]


async def _transition(batch: Batch, command: TransitionRun) -> RunTransition | Rejection:
    view = batch.space.view(command.run_id)
    if view is None:
        return run_not_found("", str(command.run_id))
    return RunTransition(await repair(batch, command.run_id))


async def repair(batch: Batch, run_id: UUID) -> str:
    """Brings a loaded run to where its rows say that it should be; returns what was done, ``noop`` for a healthy run."""
    records = batch.space.runs[run_id]
    view = records.view()
    if view.run.state is not RunState.RUNNING:
        given_up = records.read_run is not None and records.read_run.state is RunState.RUNNING
        return "failed" if given_up else "noop"
    numbers = view.workflow.definition.numbers_of_group(view.run.current_group)
    outputs = await batch.work.load_outputs({run_id: numbers}, EVENT_OUTPUT_BYTES_MAX)
    records.group_outputs.update({number: text for (_, number), text in outputs.items()})
    jobless = [
        (run_id, number)
        for number, stage in view.stages.items()
        if stage.state is StageState.SUSPENDED and number not in view.jobs
    ]
    waits = await batch.work.load_waits(jobless) if jobless else []
    happened = list(decide_repair(view, {kept.stage_number: kept for kept in waits}, batch.space.now))
    batch.space.apply_all(run_id, happened)
    return _ACTIONS[type(happened[0])] if happened else "noop"


_ACTIONS: dict[type, str] = {
    events.JobRestored: "repaired",
    events.RunAdvanced: "advanced",
    events.RunCompleted: "completed",
    events.RunFailed: "failed",
}
