"""``run.rerunFrom`` for a batch."""

import hashlib
from collections.abc import Sequence
from uuid import UUID

import orjson

from stageline_engine import commands, events
from stageline_engine.acceptance import overridden_config, reason_violations, request_id_violations
from stageline_engine.decide.rerun import decide_rerun, refuse_rerun
from stageline_engine.decide.view import RunView
from stageline_engine.handlers.context import Batch
from stageline_engine.handlers.idempotency import KeyReservations
from stageline_engine.handlers.runs import run_not_found
from stageline_engine.ports import ALL_STAGES
from stageline_engine.rejections import Rejection, out_of_limits

COMMAND = "run.rerunFrom"


async def rerun_runs(
    batch: Batch, commands: Sequence[commands.RerunRun]
) -> list[commands.RunRerunResult | Rejection]:
    """Runs ended runs again from a stage's group on."""
    keys = await KeyReservations.reserve(batch, COMMAND, commands)
    await batch.load({command.run_id: ALL_STAGES for command in commands})
    changing = {command.run_id for command in commands if command.config is not None}
    configs = dict(await batch.work.load_configs(changing)) if changing else {}
    return [_rerun(batch, command, keys, configs) for command in commands]


def _rerun(
    batch: Batch, command: commands.RerunRun, keys: KeyReservations, configs: dict[UUID, str]
) -> commands.RunRerunResult | Rejection:
    wrong = (*request_id_violations(command.idempotency_key), *reason_violations(command.reason))
    if wrong:
        return out_of_limits(wrong)
    fingerprint = _fingerprint(command)
    known = keys.known_result(command, fingerprint)
    if isinstance(known, Rejection):
        return known
    if known is not None:
        generation, discarded = orjson.loads(known)
        return commands.RunRerunResult(generation, tuple(discarded))
    view = batch.space.view(command.run_id)
    if view is None or view.run.namespace != command.namespace:
        return run_not_found(command.namespace, str(command.run_id))
    result = _accepted(batch, command, view, configs)
    if not isinstance(result, Rejection):
        keys.remember(command, fingerprint, orjson.dumps([result.generation, result.discarded_stage_ids]))
    return result


def _accepted(
    batch: Batch, command: commands.RerunRun, view: RunView, configs: dict[UUID, str]
) -> commands.RunRerunResult | Rejection:
    refusal = refuse_rerun(view, command.from_stage_id)
    if refusal is not None:
        return refusal
    config: str | Rejection | None = None
    if command.config is not None:
        config = overridden_config(configs[command.run_id], command.config, view.workflow)
    if isinstance(config, Rejection):
        return config
    happened = list(decide_rerun(view, command.from_stage_id, command.reason, config, batch.space.now))
    if config is not None:
        configs[command.run_id] = config
    rerun = next(event for event in happened if isinstance(event, events.RunRerun))
    discarded = [stage for _, stage in sorted(view.stages.items()) if stage.group_number >= rerun.group]
    batch.space.apply_all(command.run_id, happened)
    return commands.RunRerunResult(rerun.generation, tuple(stage.stage_id for stage in discarded))


def _fingerprint(command: commands.RerunRun) -> bytes:
    config = hashlib.sha256(command.config).hexdigest() if command.config is not None else None
    return hashlib.sha256(
        orjson.dumps([str(command.run_id), command.from_stage_id, command.reason, config])
    ).digest()
