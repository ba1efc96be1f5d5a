"""Waiting for something outside: nothing of it is in memory, and days of it cost one row."""

from datetime import datetime, timedelta

from stageline_engine import events
from stageline_engine.commands import StillWaiting, Suspended
from stageline_engine.decide.view import RunView
from stageline_engine.limits import POLL_INTERVAL_DEFAULT, POLL_INTERVAL_MIN, WAIT_DEFAULT, WAIT_MAX
from stageline_engine.model.stage import StageRow


def decide_suspend(stage: StageRow, outcome: Suspended, now: datetime) -> events.StageSuspended:
    """Returns the event of a stage that gives up its worker.

    Unset times take their defaults; the first check comes after one interval, never later than the end of the wait.
    """
    interval = max(outcome.poll_interval or POLL_INTERVAL_DEFAULT, POLL_INTERVAL_MIN)
    wait_until = now + min(outcome.wait_max or WAIT_DEFAULT, WAIT_MAX)
    first = interval if outcome.first_check_delay is None else max(outcome.first_check_delay, timedelta())
    check_at = wait_until if outcome.never_poll else min(now + first, wait_until)
    conditions = tuple(
        events.ResumeCondition(
            condition.token_sha256,
            condition.label,
            now + condition.expire_after if condition.expire_after else None,
        )
        for condition in outcome.conditions
    )
    return events.StageSuspended(
        stage.number, stage.stage_id, outcome.state.decode(), check_at, interval, wait_until, conditions
    )


def decide_still_waiting(
    view: RunView, stage: StageRow, outcome: StillWaiting, now: datetime
) -> events.StageStillWaiting:
    """Returns the event of a check that found nothing yet: the next one, but never after the end of the wait."""
    job = view.jobs[stage.number]
    delay = max(outcome.next_check_delay or job.poll_interval or POLL_INTERVAL_DEFAULT, POLL_INTERVAL_MIN)
    check_at = now + delay if job.deadline_at is None else min(now + delay, job.deadline_at)
    state = None if outcome.state is None else outcome.state.decode()
    return events.StageStillWaiting(stage.number, stage.stage_id, check_at, state)
