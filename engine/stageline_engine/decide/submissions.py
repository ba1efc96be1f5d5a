"""What may be said of a submission, by whom, and what it makes of what is on record."""

from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from stageline_engine.commands import Disposition, RecordSubmission
from stageline_engine.decide.report import judge
from stageline_engine.decide.view import RunView
from stageline_engine.limits import (
    SUBMISSION_KEY_LENGTH_MAX,
    SUBMISSION_REFERENCE_LENGTH_MAX,
    SUBMISSIONS_PER_STAGE_MAX,
)
from stageline_engine.model.lease_token import attempt_of
from stageline_engine.model.submission import (
    LEASELESS_PHASES,
    SubmissionPhase,
    SubmissionRow,
    may_follow,
)
from stageline_engine.rejections import FieldViolation, Reason, Rejection, out_of_limits


def generation_of(command: RecordSubmission) -> int:
    """Returns the generation that the lease was given for; 0 where its token does not say it."""
    said = attempt_of(command.lease_token)
    return said[0] if said else 0


def decide_submission(
    view: RunView | None, command: RecordSubmission, known: Iterable[SubmissionRow], now: datetime
) -> SubmissionRow | Rejection:
    """Returns the row that follows, the very one that is known where nothing changes; or why the command is refused.

    Args:
        view: The run that the lease names, with its stage; None where there is none.
        command: What is said.
        known: What is on record of the lease's stage and generation.
        now: The present time.
    """
    wrong = tuple(_violations(command))
    if wrong:
        return out_of_limits(wrong)
    rows = {row.key: row for row in known}
    row = rows.get(command.key)
    live = judge(view, command.namespace, command.stage_number, command.lease_token) is Disposition.RECORDED
    if not live and not _is_the_declarers(view, command, row):
        return Rejection(Reason.LEASE_SUPERSEDED, "The lease is not live any more: submit nothing.")
    if row is None and command.phase is SubmissionPhase.DECLARED and len(rows) >= SUBMISSIONS_PER_STAGE_MAX:
        return _too_many()
    if not may_follow(row.phase if row else None, command.phase):
        return _out_of_order(command, row)
    if row is None or command.phase is SubmissionPhase.DECLARED:
        return _declared(view, command, row, now)
    if (row.phase, row.reference) == (command.phase, command.reference):
        return row
    if row.phase is SubmissionPhase.CONFIRMED:
        return _out_of_order(command, row)
    return replace(row, phase=command.phase, reference=command.reference, changed_at=now)


def _is_the_declarers(view: RunView | None, command: RecordSubmission, row: SubmissionRow | None) -> bool:
    """Whether a worker that was given up says what became of what it had declared."""
    if view is None or view.run.namespace != command.namespace or row is None:
        return False
    return row.lease_token == command.lease_token and command.phase in LEASELESS_PHASES


def _declared(
    view: RunView | None, command: RecordSubmission, row: SubmissionRow | None, now: datetime
) -> SubmissionRow:
    if row is not None and row.phase is command.phase and row.lease_token == command.lease_token:
        return row
    said = attempt_of(command.lease_token)
    generation, attempt = said or _present(view, command)
    return SubmissionRow(
        command.run_id,
        command.stage_number,
        generation,
        command.key,
        command.phase,
        "",
        attempt,
        command.lease_token,
        now,
        now,
    )


def _present(view: RunView | None, command: RecordSubmission) -> tuple[int, int]:
    """Generation and attempt of the stage as it is: what a live lease is for whose token does not say it."""
    stage = view.stages[command.stage_number] if view else None
    return (stage.generation, stage.attempt) if stage else (0, 0)


def _violations(command: RecordSubmission) -> Iterable[FieldViolation]:
    for name, text, required, length_max in (
        ("key", command.key, True, SUBMISSION_KEY_LENGTH_MAX),
        (
            "provider_reference",
            command.reference,
            command.phase is SubmissionPhase.CONFIRMED,
            SUBMISSION_REFERENCE_LENGTH_MAX,
        ),
    ):
        if required and not text:
            yield FieldViolation(f"submission.{name}", "is empty")
        if len(text) > length_max:
            yield FieldViolation(f"submission.{name}", f"{len(text)} characters, limit {length_max}")
        if "\0" in text:
            yield FieldViolation(f"submission.{name}", "contains the character U+0000")
    if command.reference and command.phase is not SubmissionPhase.CONFIRMED:
        yield FieldViolation("submission.provider_reference", f"is set with {command.phase}")


def _too_many() -> Rejection:
    limit = str(SUBMISSIONS_PER_STAGE_MAX)
    facts = {"limit_name": "submissions", "limit": limit, "actual": "more"}
    return Rejection(Reason.LIMIT_EXCEEDED, f"A stage has at most {limit} submissions.", facts)


def _out_of_order(command: RecordSubmission, row: SubmissionRow | None) -> Rejection:
    found = f"{row.phase}, reference {row.reference!r}" if row else "not declared"
    facts = {
        "field": "submission.phase",
        "phase": row.phase.value if row else "",
        "provider_reference": row.reference if row else "",
    }
    message = f"Submission {command.key!r} is {found}: it cannot become {command.phase}."
    return Rejection(Reason.INVALID_FIELD, message, facts)
