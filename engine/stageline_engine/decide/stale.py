"""What becomes of the jobs of a session that has died."""

from collections.abc import Iterator
from datetime import datetime

from stageline_engine import events
from stageline_engine.decide.report import fail_stage
from stageline_engine.decide.timeouts import start_deadline
from stageline_engine.decide.view import RunView
from stageline_engine.limits import DELIVERIES_PER_ATTEMPT_MAX

WORKER_LOST = "WORKER_LOST"
"""Error type of a stage that was handed out too often without any outcome: it probably kills its workers."""


def decide_stale(view: RunView, number: int, now: datetime) -> Iterator[events.Event]:
    """Yields what follows for one leased job: another hand-over, or the end of a stage that kills its workers."""
    stage = view.stages[number]
    if stage.delivery < DELIVERIES_PER_ATTEMPT_MAX:
        deadline_at = start_deadline(view.definition_of(number), now)
        yield events.StageRequeued(
            number, stage.stage_id, "lease_expired", counted=True, deadline_at=deadline_at
        )
        return
    message = (
        f"Stage {stage.stage_id} was handed to {stage.delivery} workers and none of them lived to report "
        f"(at most {DELIVERIES_PER_ATTEMPT_MAX} deliveries an attempt): it probably exhausts memory or ends its process."
    )
    yield from fail_stage(view, stage, events.StageError(WORKER_LOST, message), now, reported=False)
