"""The moments at which a job's time is over, by its stage's time-outs."""

from datetime import datetime

from stageline_engine.model.definition import StageDefinition


def start_deadline(stage: StageDefinition, ready_at: datetime) -> datetime | None:
    """When a job that becomes ready now must have been leased."""
    limit = stage.timeouts.schedule_to_start
    return ready_at + limit if limit else None


def report_deadline(stage: StageDefinition, started_at: datetime, alive_at: datetime) -> datetime | None:
    """When a leased job must have been reported, or given its next sign of life, whichever is earlier.

    Args:
        stage: The stage.
        started_at: When the job was leased.
        alive_at: The last sign of life; the lease itself is the first.
    """
    limits = []
    if stage.timeouts.start_to_close:
        limits.append(started_at + stage.timeouts.start_to_close)
    if stage.timeouts.heartbeat:
        limits.append(alive_at + stage.timeouts.heartbeat)
    return min(limits, default=None)
