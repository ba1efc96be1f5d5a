"""``submission.record`` for a batch."""

from collections.abc import Sequence
from uuid import UUID

from stageline_engine import events
from stageline_engine.commands import RecordSubmission, SubmissionRecorded
from stageline_engine.decide.submissions import decide_submission, generation_of
from stageline_engine.handlers.context import Batch
from stageline_engine.model.submission import SubmissionPhase, SubmissionRow
from stageline_engine.rejections import Rejection

Execution = tuple[UUID, int, int]
"""(run id, stage number, generation)."""


async def record_submissions(
    batch: Batch, commands: Sequence[RecordSubmission]
) -> list[SubmissionRecorded | Rejection]:
    """Puts on record how far submissions are."""
    wanted: dict[UUID, frozenset[int]] = {}
    for command in commands:
        wanted[command.run_id] = wanted.get(command.run_id, frozenset()) | {command.stage_number}
    await batch.load(wanted)
    known: dict[Execution, dict[str, SubmissionRow]] = {
        _execution(batch, command): {} for command in commands
    }
    for row in await batch.work.load_submissions(known):
        known[row.run_id, row.stage_number, row.generation][row.key] = row
    return [_record(batch, command, known[_execution(batch, command)]) for command in commands]


def _execution(batch: Batch, command: RecordSubmission) -> Execution:
    """The stage execution that a lease was given for; where its token does not say it, the present one."""
    generation = generation_of(command)
    if not generation:
        view = batch.space.view(command.run_id)
        stage = view.stages.get(command.stage_number) if view else None
        generation = stage.generation if stage else 0
    return command.run_id, command.stage_number, generation


def _record(
    batch: Batch, command: RecordSubmission, known: dict[str, SubmissionRow]
) -> SubmissionRecorded | Rejection:
    view = batch.space.view(command.run_id)
    row = decide_submission(view, command, known.values(), batch.space.now)
    if isinstance(row, Rejection):
        return row
    before = known.get(row.key)
    if row is before:
        return SubmissionRecorded(replayed=True)
    known[row.key] = row
    happened: list[events.Event] = [events.SubmissionChanged(row)]
    if row.phase is SubmissionPhase.SUSPECTED and view is not None:
        stage_id = view.definition_of(row.stage_number).id
        happened.append(events.OrphanSuspected(stage_id, row.key, row.generation, row.attempt))
    batch.space.apply_all(command.run_id, happened)
    return SubmissionRecorded(replayed=False)
