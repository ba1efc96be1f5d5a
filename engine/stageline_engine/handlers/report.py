"""``job.report`` and progress for a batch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from stageline_engine import payloads
from stageline_engine.acceptance import annotation_violations
from stageline_engine.commands import (
    Disposition,
    Failed,
    JobReportRecorded,
    ProgressRecorded,
    ReportJob,
    ReportProgress,
)
from stageline_engine.decide.report import check_outcome, decide_progress, decide_report, judge
from stageline_engine.handlers.annotate import FreshAnnotations
from stageline_engine.handlers.context import Batch
from stageline_engine.handlers.usage import FreshAiCalls, book_reported
from stageline_engine.limits import EVENT_OUTPUT_BYTES_MAX


async def report_jobs(batch: Batch, commands: Sequence[ReportJob]) -> list[JobReportRecorded]:
    """Records reports, with all that follows from each: retry, next group, the end of the run."""
    await batch.load(_stages_by_run(commands))
    await load_closing_outputs(batch, [command.run_id for command in commands])
    fresh = await FreshAnnotations.find(
        batch, [(command.run_id, command.annotations) for command in commands]
    )
    ai_calls = await FreshAiCalls.find(batch, ((command.namespace, command.ai_calls) for command in commands))
    return [_report(batch, command, fresh, ai_calls) for command in commands]


def _report(
    batch: Batch, command: ReportJob, fresh: FreshAnnotations, ai_calls: FreshAiCalls
) -> JobReportRecorded:
    view = batch.space.view(command.run_id)
    booked: tuple[UUID, ...] = ()
    if command.ai_calls:
        booked = book_reported(batch, command, view, ai_calls)
        view = batch.space.view(command.run_id)  # the run's totals have grown
    disposition = judge(view, command.namespace, command.stage_number, command.lease_token)
    if view is None or disposition is not Disposition.RECORDED:
        return JobReportRecorded(disposition, booked=booked)
    outcome, note = check_outcome(
        view, command.stage_number, command.outcome, payloads.check_output, payloads.check_state
    )
    wrong = "; ".join(f"{one.field}: {one.description}" for one in annotation_violations(command.annotations))
    if wrong:
        note = f"{note} The annotations were not kept: {wrong}".strip()
        command = replace(command, annotations=())
    session_id = view.jobs[command.stage_number].session_id
    batch.space.reported(command.lease_token)
    if command.annotations:
        command = replace(command, annotations=fresh.take(command.run_id, command.annotations))
    chance = batch.ids.chance() if isinstance(outcome, Failed) else 0.0  # costs a system call
    happened = decide_report(view, command, outcome, batch.space.now, chance)
    batch.space.apply_all(command.run_id, happened)
    return JobReportRecorded(disposition, note, session_id, booked)


def _stages_by_run(commands: Sequence[ReportJob] | Sequence[ReportProgress]) -> dict[UUID, frozenset[int]]:
    wanted: dict[UUID, set[int]] = {}
    for command in commands:
        wanted.setdefault(command.run_id, set()).add(command.stage_number)
    return {run_id: frozenset(numbers) for run_id, numbers in wanted.items()}


async def load_closing_outputs(batch: Batch, run_ids: Sequence[UUID]) -> None:
    """Reads the other outputs of last groups that this batch may complete: the run's last event tells its output.

    Args:
        batch: The batch, with its runs loaded.
        run_ids: The run of each stage that may end in it; a run with several is named several times.
    """
    counts = Counter(run_ids)
    wanted = {}
    for run_id, records in batch.space.runs.items():
        run, definition = records.view().run, records.workflow.definition
        if run.state.terminal:
            continue
        numbers = definition.numbers_of_group(run.current_group)
        closing = run.current_group == len(definition.groups) and run.open_stages <= counts[run_id]
        if closing and len(numbers) > 1:
            wanted[run_id] = numbers
    if wanted:
        for (run_id, number), text in (await batch.work.load_outputs(wanted, EVENT_OUTPUT_BYTES_MAX)).items():
            batch.space.runs[run_id].group_outputs[number] = text


async def report_progress(batch: Batch, commands: Sequence[ReportProgress]) -> list[ProgressRecorded]:
    """Tells watchers how far leased jobs are."""
    await batch.load(_stages_by_run(commands))
    results = []
    for command in commands:
        view = batch.space.view(command.run_id)
        disposition = judge(view, command.namespace, command.stage_number, command.lease_token)
        if view is not None and disposition is Disposition.RECORDED:
            batch.space.apply_all(command.run_id, [decide_progress(view, command, batch.space.now)])
        results.append(ProgressRecorded(disposition is Disposition.RECORDED))
    return results
