"""What each event of a run makes of it."""

from datetime import datetime
from decimal import Decimal

from msgspec.structs import replace

from stageline_engine import events
from stageline_engine.apply.focus import Focus
from stageline_engine.model.run import RUN_TRANSITIONS
from stageline_engine.model.transitions import follow


def run_created(focus: Focus, event: events.RunCreated, now: datetime) -> Focus:
    """A run begins to exist."""
    return focus._replace(run=event.run)


def run_started(focus: Focus, event: events.RunStarted, now: datetime) -> Focus:
    """The run leaves PENDING, and its time begins to run."""
    run = focus.existing_run()
    state = follow(RUN_TRANSITIONS, run.state, "RunStarted")
    return focus._replace(run=replace(run, state=state, started_at=now, deadline_at=event.deadline_at))


def run_advanced(focus: Focus, event: events.RunAdvanced, now: datetime) -> Focus:
    """The counters turn to the new group."""
    run = focus.existing_run()
    return focus._replace(
        run=replace(
            run,
            state=follow(RUN_TRANSITIONS, run.state, "RunAdvanced"),
            current_group=event.group,
            open_stages=len(event.stage_ids),
            failed_stages=0,
        )
    )


def run_completed(focus: Focus, event: events.RunCompleted, now: datetime) -> Focus:
    """The run ends well."""
    run = focus.existing_run()
    return focus._replace(
        run=replace(run, state=follow(RUN_TRANSITIONS, run.state, "RunCompleted"), ended_at=now)
    )


def run_failed(focus: Focus, event: events.RunFailed, now: datetime) -> Focus:
    """The run ends with the first error of its group."""
    run = focus.existing_run()
    state = follow(RUN_TRANSITIONS, run.state, "RunFailed")
    return focus._replace(run=replace(run, state=state, ended_at=now, error=event.error))


def run_cancelled(focus: Focus, event: events.RunCancelled, now: datetime) -> Focus:
    """The run ends because somebody said so."""
    run = focus.existing_run()
    return focus._replace(
        run=replace(run, state=follow(RUN_TRANSITIONS, run.state, "RunCancelled"), ended_at=now)
    )


def run_rerun(focus: Focus, event: events.RunRerun, now: datetime) -> Focus:
    """An ended run lives again, with fresh counters; its costs stay, since the money is spent."""
    run = focus.existing_run()
    return focus._replace(
        run=replace(
            run,
            state=follow(RUN_TRANSITIONS, run.state, "RunRerun"),
            started_at=now,
            ended_at=None,
            error=None,
            open_stages=0,
            failed_stages=0,
            deadline_at=event.deadline_at,
        )
    )


def annotation_added(focus: Focus, event: events.AnnotationAdded, now: datetime) -> Focus:
    """Remarks change no state and may be made of a run in any state."""
    return focus


def submission_changed(focus: Focus, event: events.SubmissionChanged, now: datetime) -> Focus:
    """What is submitted elsewhere changes no state, and is told also of a run that has ended."""
    return focus


def orphan_suspected(focus: Focus, event: events.OrphanSuspected, now: datetime) -> Focus:
    """The suspicion is on record with the submission; the stage's own failure follows by its report."""
    return focus


def ai_call_booked(focus: Focus, event: events.AiCallBooked, now: datetime) -> Focus:
    """The run's totals grow by what the call cost, as far as that is known."""
    run, call = focus.existing_run(), event.call.call
    total_cost = run.total_cost + (call.cost or Decimal(0))
    return focus._replace(
        run=replace(run, total_cost=total_cost, total_tokens=run.total_tokens + call.tokens)
    )
