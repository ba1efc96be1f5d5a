"""What a worker's report of a leased job brings about."""

from collections.abc import Callable, Iterator
from datetime import datetime
from uuid import UUID

from stageline_engine import events
from stageline_engine.commands import Completed, Disposition, Failed, Outcome, ReportJob, Returned
from stageline_engine.decide.advance import close_stage
from stageline_engine.decide.retry import retry_delay
from stageline_engine.decide.view import RunView
from stageline_engine.limits import ERROR_MESSAGE_LENGTH_MAX
from stageline_engine.model.definition import StageDefinition
from stageline_engine.model.run import RunError
from stageline_engine.model.stage import StageRow
from stageline_engine.rejections import Rejection

OutputCheck = Callable[[StageDefinition, bytes], Rejection | None]
"""Says why an output cannot be accepted; None where it can."""

INVALID_OUTPUT = "INVALID_OUTPUT"
"""Error type of a stage whose output breaks its schema or a limit. Final: the same code would answer the same."""


def judge(view: RunView | None, namespace: str, number: int, lease_token: UUID) -> Disposition:
    """Says whether a report, or anything else that names a lease, still counts.

    Args:
        view: The run that the lease names; None where there is none.
        namespace: Tenant of the session that speaks.
        number: The stage that the lease names.
        lease_token: The secret of the lease.

    Returns:
        ``RECORDED`` where it counts, else why it does not.
    """
    if view is None or view.run.namespace != namespace or number not in view.stages:
        return Disposition.SUPERSEDED
    if view.stages[number].recorded_token == lease_token:
        return Disposition.ALREADY_RECORDED
    if view.run.state.terminal:
        return Disposition.RUN_ENDED
    job = view.jobs.get(number)
    if job is None or job.lease_token != lease_token:
        return Disposition.SUPERSEDED
    return Disposition.RECORDED


def check_outcome(definition: StageDefinition, outcome: Outcome, check: OutputCheck) -> tuple[Outcome, str]:
    """Turns a completion whose output cannot be accepted into a final failure.

    Returns:
        The outcome to record, and a note for the worker where it differs from what it said.
    """
    if not isinstance(outcome, Completed):
        return outcome, ""
    refusal = check(definition, outcome.output)
    if refusal is None:
        return outcome, ""
    details = "; ".join(f"{violation.field}: {violation.description}" for violation in refusal.violations)
    message = _cut(f"{refusal.message} {details}".strip(), ERROR_MESSAGE_LENGTH_MAX)
    return Failed(events.StageError(INVALID_OUTPUT, message), retryable=False), message


def _cut(text: str, length_max: int) -> str:
    """A text that is short enough to be stored, and says so where it was cut."""
    if len(text) <= length_max:
        return text
    end = f"… ({len(text)} characters)"
    return text[: length_max - len(end)] + end


def decide_report(
    view: RunView, command: ReportJob, outcome: Outcome, now: datetime, chance: float
) -> Iterator[events.Event]:
    """Yields the events of a report that counts (see ``judge``).

    Args:
        view: The run, with the reported stage and its job.
        command: The report.
        outcome: What it says, after ``check_outcome``.
        now: The present time.
        chance: A number from 0 to 1 for the jitter of a retry.
    """
    stage = view.stages[command.stage_number]
    match outcome:
        case Completed(output=output, metrics=metrics):
            text = output.decode()
            yield events.StageCompleted(stage.number, stage.stage_id, text, metrics)
            yield from close_stage(view, stage.generation, None, text, stage.number)
        case Failed() as failure:
            yield from _failed(view, stage, failure, now, chance)
        case Returned(started=started):
            yield events.StageRequeued(
                stage.number, stage.stage_id, "returned" if started else "undelivered", counted=False
            )


def fail_stage(
    view: RunView, stage: StageRow, error: events.StageError, *, reported: bool
) -> Iterator[events.Event]:
    """Yields a stage's terminal failure, as its worker reported or as the server found, and what follows for its run."""
    yield events.StageFailed(stage.number, stage.stage_id, error, reported)
    yield from close_stage(view, stage.generation, RunError(error.type, error.message, stage.stage_id))


def _failed(
    view: RunView, stage: StageRow, failure: Failed, now: datetime, chance: float
) -> Iterator[events.Event]:
    """A failed try: another one by the stage's policy, or the end of the stage."""
    delay = retry_delay(view.definition_of(stage.number).retry, stage.attempt, failure, chance)
    if delay is None:
        yield from fail_stage(view, stage, failure.error, reported=True)
        return
    yield events.StageRetryScheduled(
        stage.number, stage.stage_id, failure.error, stage.attempt, delay, now + delay
    )
