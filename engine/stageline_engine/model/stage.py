"""A stage execution: the state of one stage in one run.

Three counters are kept apart, since every system that mixed them ran work twice or gave up too early:
``generation`` grows at each rerun; ``attempt`` counts the tries that the retry policy allows; ``delivery`` counts how
often the present attempt was handed to a worker, and is bounded against work that kills its workers.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from stageline_engine.errors import InvariantError


class StageState(StrEnum):
    """Where a stage execution is. SKIPPED is reserved for conditional stages."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"

    @property
    def terminal(self) -> bool:
        """Whether the stage has ended in this generation."""
        return self in _TERMINAL


_TERMINAL = frozenset({StageState.COMPLETED, StageState.FAILED, StageState.CANCELLED, StageState.SKIPPED})

STAGE_TRANSITIONS = {
    (StageState.PENDING, "StageStarted"): StageState.RUNNING,
    (StageState.PENDING, "StageCancelled"): StageState.CANCELLED,
    (StageState.PENDING, "StageFailed"): StageState.FAILED,
    (StageState.PENDING, "JobRestored"): StageState.PENDING,
    (StageState.RUNNING, "StageProgressed"): StageState.RUNNING,
    (StageState.RUNNING, "StageCompleted"): StageState.COMPLETED,
    (StageState.RUNNING, "StageFailed"): StageState.FAILED,
    (StageState.RUNNING, "StageRetryScheduled"): StageState.PENDING,
    (StageState.RUNNING, "StageRequeued"): StageState.PENDING,
    (StageState.RUNNING, "StageCancelled"): StageState.CANCELLED,
    (StageState.RUNNING, "StageSuspended"): StageState.SUSPENDED,
    (StageState.RUNNING, "JobRestored"): StageState.PENDING,
    (StageState.SUSPENDED, "CheckStarted"): StageState.SUSPENDED,
    (StageState.SUSPENDED, "CheckRequested"): StageState.SUSPENDED,
    (StageState.SUSPENDED, "StageStillWaiting"): StageState.SUSPENDED,
    (StageState.SUSPENDED, "StageProgressed"): StageState.SUSPENDED,
    (StageState.SUSPENDED, "StageRequeued"): StageState.SUSPENDED,
    (StageState.SUSPENDED, "StageCompleted"): StageState.COMPLETED,
    (StageState.SUSPENDED, "StageFailed"): StageState.FAILED,
    (StageState.SUSPENDED, "StageRetryScheduled"): StageState.PENDING,
    (StageState.SUSPENDED, "StageCancelled"): StageState.CANCELLED,
    (StageState.SUSPENDED, "JobRestored"): StageState.SUSPENDED,
}


class StageRow(Struct, frozen=True):
    """One row of ``stages``.

    Attributes:
        run_id: The run.
        number: 1-based position in definition order; with ``run_id`` the key.
        stage_id: The stage's id in the definition.
        group_number: 1-based group.
        state: See ``STAGE_TRANSITIONS``.
        generation: Grows by one at each rerun; the first is 1.
        attempt: The present try, 1 from the first lease on; 0 before it.
        delivery: Hand-overs of the present attempt.
        lease_epoch: Grows by one with each lease and never goes back, not even at a rerun.
        recorded_token: Token of the lease whose report was recorded last: a repeated report is recognised by it.
        version: Guards writes, as in ``RunRow``.
        created_at: When the stage became ready.
        started_at: When its present delivery was leased.
        ended_at: When it reached a terminal state.
        active: How long workers ran its tries in this generation, up to the end of the last one; a check is part of a wait.
    """

    run_id: UUID
    number: int
    stage_id: str
    group_number: int
    state: StageState
    generation: int
    attempt: int
    delivery: int
    lease_epoch: int
    recorded_token: UUID | None
    version: int
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    active: timedelta = timedelta(0)

    def active_until(self, now: datetime) -> timedelta:
        """Returns how long workers have run it in this generation, a try that is running now included."""
        if self.state is not StageState.RUNNING or self.started_at is None:
            return self.active
        return self.active + max(now - self.started_at, timedelta(0))


def check_stage(stage: StageRow) -> None:
    """Checks what must hold of every stage row; the table has the same rules as named CHECKs.

    Raises:
        InvariantError: The row contradicts itself.
    """
    if (stage.ended_at is not None) != stage.state.terminal:
        raise InvariantError(f"stage {stage.stage_id} is {stage.state} with ended_at {stage.ended_at}")
    if stage.state is StageState.RUNNING and stage.lease_epoch == 0:
        raise InvariantError(f"stage {stage.stage_id} is RUNNING and was never leased")
