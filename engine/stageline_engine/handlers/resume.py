"""``stage.resume`` for a batch."""

import hashlib
from collections.abc import Sequence

import orjson
from msgspec.structs import replace

from stageline_engine import payloads
from stageline_engine.acceptance import request_id_violations
from stageline_engine.commands import CheckNow, Completed, ResumeStage, StageResumed
from stageline_engine.decide.resume import already_resumed, decide_resume, fingerprint_of, refuse_resume
from stageline_engine.decide.view import RunView
from stageline_engine.handlers.context import Batch
from stageline_engine.handlers.idempotency import KeyReservations
from stageline_engine.handlers.report import load_closing_outputs
from stageline_engine.handlers.runs import run_not_found
from stageline_engine.model.run import RunState
from stageline_engine.ports import ALL_STAGES
from stageline_engine.rejections import Reason, Rejection, out_of_limits

COMMAND = "stage.resume"


async def resume_stages(batch: Batch, commands: Sequence[ResumeStage]) -> list[StageResumed | Rejection]:
    """Ends waits of suspended stages from outside."""
    keys = await KeyReservations.reserve(batch, COMMAND, commands)
    await batch.load({command.run_id: ALL_STAGES for command in commands})
    await load_closing_outputs(batch, [command.run_id for command in commands])
    return [await _resume(batch, command, keys) for command in commands]


async def _resume(batch: Batch, command: ResumeStage, keys: KeyReservations) -> StageResumed | Rejection:
    wrong = (*request_id_violations(command.idempotency_key),)
    if wrong:
        return out_of_limits(wrong)
    fingerprint = _fingerprint(command)
    known = keys.known_result(command, fingerprint)
    if isinstance(known, Rejection):
        return known
    if known is not None:
        return StageResumed(RunState(orjson.loads(known)), replayed=True)
    view = batch.space.view(command.run_id)
    if view is None or view.run.namespace != command.namespace:
        return run_not_found(command.namespace, str(command.run_id))
    resumed = await _end_wait(batch, command, view)
    if isinstance(resumed, StageResumed):
        keys.remember(command, fingerprint, orjson.dumps(resumed.state.value))
    return resumed


async def _end_wait(batch: Batch, command: ResumeStage, view: RunView) -> StageResumed | Rejection:
    number = view.workflow.definition.number_by_id.get(command.stage_id, 0)
    digest = hashlib.sha256(command.token).digest()
    token = batch.space.used_token(digest) or await batch.work.load_resume_token(digest)
    if token is not None and token.run_id != command.run_id:
        token = None
    if already_resumed(number, token, command.outcome):
        return StageResumed(view.run.state, replayed=True)
    stage = view.stages.get(number)
    if stage is None:
        facts = {"run_id": str(command.run_id), "stage_id": command.stage_id}
        return Rejection(Reason.STAGE_NOT_FOUND, f"The run has no stage {command.stage_id!r} yet.", facts)
    refusal = refuse_resume(stage, token, batch.space.now)
    if refusal is None and isinstance(command.outcome, Completed):
        refusal = payloads.check_output(view.definition_of(number), command.outcome.output)
    if refusal is not None or token is None:
        return refusal or run_not_found(command.namespace, str(command.run_id))
    happened = decide_resume(view, stage, command.outcome, batch.space.now, batch.ids.chance())
    batch.space.apply_all(command.run_id, happened)
    if not isinstance(command.outcome, CheckNow):
        batch.space.use_token(replace(token, used_fingerprint=fingerprint_of(command.outcome)))
    return StageResumed(batch.space.runs[command.run_id].view().run.state)


def _fingerprint(command: ResumeStage) -> bytes:
    """What must be the same when a key is used again; the token itself is not kept."""
    token = hashlib.sha256(command.token).hexdigest()
    parts = [str(command.run_id), command.stage_id, token, fingerprint_of(command.outcome).hex()]
    return hashlib.sha256(orjson.dumps(parts)).digest()
