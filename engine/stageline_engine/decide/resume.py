"""Ending a wait from outside: a webhook, a person."""

import hashlib
from collections.abc import Iterator
from datetime import datetime

from stageline_engine import events
from stageline_engine.commands import CheckNow, Failed, WaitOutcome
from stageline_engine.decide.advance import close_stage
from stageline_engine.decide.report import fail_stage, fail_try
from stageline_engine.decide.view import RunView
from stageline_engine.model.stage import StageRow, StageState
from stageline_engine.records import ResumeToken
from stageline_engine.rejections import Reason, Rejection


def fingerprint_of(outcome: WaitOutcome) -> bytes:
    """What must be the same when a token is used again."""
    return hashlib.sha256(repr(outcome).encode()).digest()


def already_resumed(number: int, token: ResumeToken | None, outcome: WaitOutcome) -> bool:
    """Whether a token has ended this stage's wait with this very outcome, whatever became of the stage since.

    Args:
        number: The stage.
        token: What is stored of the token; None where nothing is.
        outcome: What the outside says.
    """
    if token is None or token.stage_number != number:
        return False
    return token.used_fingerprint == fingerprint_of(outcome)


def refuse_resume(stage: StageRow, token: ResumeToken | None, now: datetime) -> Rejection | None:
    """Says why a wait cannot be ended by this token; None where it can.

    Args:
        stage: The stage.
        token: What is stored of the token; None where nothing is.
        now: The present time.
    """
    facts = {"run_id": str(stage.run_id), "stage_id": stage.stage_id}
    invalid = Rejection(
        Reason.RESUME_TOKEN_INVALID, "The resume token is unknown, expired, or used already.", facts
    )
    if token is None or (token.run_id, token.stage_number) != (stage.run_id, stage.number):
        return invalid
    if token.used_fingerprint is not None:
        return invalid
    if token.generation != stage.generation or (token.expires_at is not None and token.expires_at <= now):
        return invalid
    if stage.state is not StageState.SUSPENDED:
        message = f"Stage {stage.stage_id} is not suspended, but {stage.state}."
        return Rejection(Reason.STAGE_NOT_SUSPENDED, message, facts | {"state": stage.state.value})
    return None


def decide_resume(
    view: RunView, stage: StageRow, outcome: WaitOutcome, now: datetime, chance: float
) -> Iterator[events.Event]:
    """Yields how a wait ends, or is looked after, because the outside said so.

    Args:
        view: The run, with the suspended stage and its job.
        stage: The stage.
        outcome: An output, a failure, or the wish for a check now.
        now: The present time.
        chance: A number from 0 to 1 for the jitter of a retry.
    """
    if isinstance(outcome, CheckNow):
        yield events.CheckRequested(stage.number, stage.stage_id)
    elif isinstance(outcome, Failed):
        yield from fail_try(view, stage, outcome, now, chance, reported=False)
    elif isinstance(outcome, events.StageError):
        yield from fail_stage(view, stage, outcome, now, reported=False)
    else:
        text = outcome.output.decode()
        yield events.StageCompleted(stage.number, stage.stage_id, text, outcome.metrics, reported=False)
        yield from close_stage(view, stage, now, output=text)
