"""What a worker's report of a leased job brings about."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from stageline_engine import events
from stageline_engine.commands import (
    Completed,
    Disposition,
    Failed,
    Outcome,
    ReportJob,
    ReportProgress,
    Returned,
    StillWaiting,
    Suspended,
)
from stageline_engine.decide.advance import close_stage
from stageline_engine.decide.retry import retry_delay
from stageline_engine.decide.suspend import decide_still_waiting, decide_suspend
from stageline_engine.decide.timeouts import report_deadline, start_deadline
from stageline_engine.decide.view import RunView
from stageline_engine.limits import ERROR_MESSAGE_LENGTH_MAX, RESUME_CONDITIONS_MAX
from stageline_engine.model.definition import StageDefinition, StageMode
from stageline_engine.model.job import JobKind
from stageline_engine.model.run import RunError
from stageline_engine.model.stage import StageRow
from stageline_engine.rejections import Rejection

OutputCheck = Callable[[StageDefinition, bytes], Rejection | None]
StateCheck = Callable[[bytes], Rejection | None]
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


def check_outcome(
    view: RunView, number: int, outcome: Outcome, check: OutputCheck, check_state: StateCheck
) -> tuple[Outcome, str]:
    """Turns an outcome that cannot be accepted into a final failure.

    Args:
        view: The run, with the stage and its job.
        number: The stage.
        outcome: What the worker said.
        check: Says why an output cannot be accepted.
        check_state: Says why the state of a suspended stage cannot be kept.

    Returns:
        The outcome to record, and a note for the worker where it differs from what it said.
    """
    definition, kind = view.definition_of(number), view.jobs[number].kind
    note = ""
    if isinstance(outcome, Suspended) and (definition.mode is StageMode.SYNC or kind is JobKind.CHECK):
        note = f"Stage {definition.id} cannot suspend here: only the run of a stage of mode ASYNC_BATCH may."
    elif isinstance(outcome, StillWaiting) and kind is not JobKind.CHECK:
        note = f"Stage {definition.id} was run, not checked: it cannot be still waiting."
    elif isinstance(outcome, Completed):
        note = _text_of(check(definition, outcome.output))
    elif isinstance(outcome, Suspended | StillWaiting) and outcome.state is not None:
        note = _text_of(check_state(outcome.state))
    if isinstance(outcome, Suspended) and not note:
        note = _fault_of_conditions(outcome)
    if not note:
        return outcome, ""
    return Failed(events.StageError(INVALID_OUTPUT, note), retryable=False), note


def _fault_of_conditions(outcome: Suspended) -> str:
    """Why what a stage waits for cannot be stored; empty where it can."""
    if len(outcome.conditions) > RESUME_CONDITIONS_MAX:
        return f"The wait has {len(outcome.conditions)} conditions, limit {RESUME_CONDITIONS_MAX}."
    if len({condition.token_sha256 for condition in outcome.conditions}) < len(outcome.conditions):
        return "Two conditions of the wait have the same resume token."
    if any("\0" in condition.label for condition in outcome.conditions):
        return "The label of a condition contains the character U+0000."
    return ""


def _text_of(refusal: Rejection | None) -> str:
    if refusal is None:
        return ""
    details = "; ".join(f"{violation.field}: {violation.description}" for violation in refusal.violations)
    return _cut(f"{refusal.message} {details}".strip(), ERROR_MESSAGE_LENGTH_MAX)


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
    for annotation in command.annotations:
        yield events.AnnotationAdded(in_stage(annotation, stage))
    match outcome:
        case Completed(output=output, metrics=metrics):
            text = output.decode()
            yield events.StageCompleted(stage.number, stage.stage_id, text, metrics)
            yield from close_stage(view, stage, now, output=text)
        case Failed() as failure:
            yield from fail_try(view, stage, failure, now, chance, reported=True)
        case Returned(started=started):
            reason = "returned" if started else "undelivered"
            deadline_at = start_deadline(view.definition_of(stage.number), now)
            yield events.StageRequeued(
                stage.number, stage.stage_id, reason, counted=False, deadline_at=deadline_at
            )
        case Suspended() as suspended:
            yield decide_suspend(stage, suspended, now)
        case StillWaiting() as waiting:
            yield decide_still_waiting(view, stage, waiting, now)


def in_stage(annotation: events.Annotation, stage: StageRow) -> events.Annotation:
    """The annotation with the stage that it was made in; a scope that was left at the run's becomes the stage's."""
    scope, scope_id = annotation.scope, annotation.scope_id
    if scope == "run":
        scope, scope_id = "stage", stage.stage_id
    return replace(
        annotation,
        scope=scope,
        scope_id=scope_id,
        stage_number=stage.number,
        generation=stage.generation,
        attempt=stage.attempt,
    )


def fail_stage(
    view: RunView, stage: StageRow, error: events.StageError, now: datetime, *, reported: bool
) -> Iterator[events.Event]:
    """Yields a stage's terminal failure, as its worker reported or as the server found, and what follows for its run."""
    yield events.StageFailed(stage.number, stage.stage_id, error, reported)
    yield from close_stage(view, stage, now, error=RunError(error.type, error.message, stage.stage_id))


def fail_try(
    view: RunView, stage: StageRow, failure: Failed, now: datetime, chance: float, *, reported: bool
) -> Iterator[events.Event]:
    """Yields what follows a failed try: another one by the stage's policy, or the end of the stage."""
    definition = view.definition_of(stage.number)
    delay = retry_delay(definition.retry, stage.attempt, failure, chance)
    if delay is None:
        yield from fail_stage(view, stage, failure.error, now, reported=reported)
        return
    available_at = now + delay
    yield events.StageRetryScheduled(
        stage.number,
        stage.stage_id,
        failure.error,
        stage.attempt,
        delay,
        available_at,
        start_deadline(definition, available_at),
        reported,
    )


def decide_progress(view: RunView, command: ReportProgress, now: datetime) -> events.StageProgressed:
    """Returns the event of a sign of life: it moves the deadline of a stage that has a heartbeat time-out."""
    stage, definition = view.stages[command.stage_number], view.definition_of(command.stage_number)
    running = definition.timeouts.heartbeat is not None and view.jobs[stage.number].kind is JobKind.EXECUTE
    deadline_at = report_deadline(definition, stage.started_at or now, now) if running else None
    return events.StageProgressed(
        stage.number, stage.stage_id, command.fraction, command.message, command.details, deadline_at
    )
