"""``stage.resume`` for a batch."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from stageline_engine import payloads
from stageline_engine.commands import CheckNow, Completed, ResumeStage, StageResumed
from stageline_engine.decide.resume import decide_resume, fingerprint_of, refuse_resume
from stageline_engine.handlers.context import Batch
from stageline_engine.handlers.report import load_closing_outputs
from stageline_engine.handlers.runs import run_not_found
from stageline_engine.ports import ALL_STAGES
from stageline_engine.rejections import Reason, Rejection


async def resume_stages(batch: Batch, commands: Sequence[ResumeStage]) -> list[StageResumed | Rejection]:
    """Ends waits of suspended stages from outside."""
    await batch.load({command.run_id: ALL_STAGES for command in commands})
    await load_closing_outputs(batch, [command.run_id for command in commands])
    return [await _resume(batch, command) for command in commands]


async def _resume(batch: Batch, command: ResumeStage) -> StageResumed | Rejection:
    view = batch.space.view(command.run_id)
    if view is None or view.run.namespace != command.namespace:
        return run_not_found(command.namespace, str(command.run_id))
    number = view.workflow.definition.number_by_id.get(command.stage_id, 0)
    stage = view.stages.get(number)
    if stage is None:
        facts = {"run_id": str(command.run_id), "stage_id": command.stage_id}
        return Rejection(Reason.STAGE_NOT_FOUND, f"The run has no stage {command.stage_id!r} yet.", facts)
    digest = hashlib.sha256(command.token).digest()
    token = batch.space.used_token(digest) or await batch.work.load_resume_token(digest)
    refusal = refuse_resume(stage, token, command.outcome, batch.space.now)
    if refusal is None and isinstance(command.outcome, Completed):
        refusal = payloads.check_output(view.definition_of(number), command.outcome.output)
    if refusal is not None or token is None:
        return refusal or run_not_found(command.namespace, str(command.run_id))
    if token.used_fingerprint is not None:
        return StageResumed(view.run.state, replayed=True)
    happened = decide_resume(view, stage, command.outcome, batch.space.now, batch.ids.chance())
    batch.space.apply_all(command.run_id, happened)
    if not isinstance(command.outcome, CheckNow):
        batch.space.use_token(replace(token, used_fingerprint=fingerprint_of(command.outcome)))
    return StageResumed(batch.space.runs[command.run_id].view().run.state)
