"""A run: one execution of one version of a workflow.

The row is what the hot path reads and writes, so it holds counters instead of lists: a group of a thousand parallel
stages costs a thousand reports, not a million row reads. Input, config and labels never change and lie elsewhere.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from stageline_engine.errors import InvariantError


class RunState(StrEnum):
    """Where a run is. A run with suspended stages is RUNNING; PENDING is for runs that must wait to start."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def terminal(self) -> bool:
        """Whether the run has ended. A cancelled run never changes again, bar its cost."""
        return self in _TERMINAL


_TERMINAL = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED})

RUN_TRANSITIONS = {
    (RunState.PENDING, "RunStarted"): RunState.RUNNING,
    (RunState.PENDING, "RunCancelled"): RunState.CANCELLED,
    (RunState.PENDING, "RunFailed"): RunState.FAILED,
    (RunState.RUNNING, "RunAdvanced"): RunState.RUNNING,
    (RunState.RUNNING, "RunCompleted"): RunState.COMPLETED,
    (RunState.RUNNING, "RunFailed"): RunState.FAILED,
    (RunState.RUNNING, "RunCancelled"): RunState.CANCELLED,
    (RunState.COMPLETED, "RunRerun"): RunState.RUNNING,
    (RunState.FAILED, "RunRerun"): RunState.RUNNING,
}


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run failed.

    Attributes:
        code: The error's type, such as ``ValueError`` or ``WORKER_LOST``.
        message: What went wrong, for a person.
        stage_id: The stage whose failure ended the run; empty where none did.
    """

    code: str
    message: str
    stage_id: str = ""


class RunRow(Struct, frozen=True):
    """One row of ``runs``.

    Attributes:
        id: UUIDv7, so that ids sort by age.
        namespace: The tenant.
        workflow_name: Which workflow.
        workflow_version: The version that the run is pinned to.
        state: See ``RUN_TRANSITIONS``.
        priority: 0 to 100; jobs of higher runs are leased first.
        current_group: 1-based group in progress; 0 before the first.
        open_stages: Stages of the current group that have not ended.
        failed_stages: Stages of the current group that have failed for good.
        event_sequence: Sequence of the run's last event; the next one is one higher.
        version: Grows by one with each write; a write names the version it read.
        created_at: When the run was accepted.
        started_at: When its first group was made ready; again at a rerun.
        ended_at: When it reached a terminal state.
        error: The first terminal failure of the current group.
        total_cost: Sum of the cost of its AI calls, in US dollars.
        total_tokens: Sum of their tokens.
        start_at: Not started before this time; None means at once.
        deadline_at: When a run that has not ended fails; None means never.
        lease_epoch_floor: The highest lease epoch of any stage that a rerun took away; one that comes anew begins there.
    """

    id: UUID
    namespace: str
    workflow_name: str
    workflow_version: int
    state: RunState
    priority: int
    current_group: int
    open_stages: int
    failed_stages: int
    event_sequence: int
    version: int
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: RunError | None = None
    total_cost: Decimal = Decimal(0)
    total_tokens: int = 0
    start_at: datetime | None = None
    deadline_at: datetime | None = None
    lease_epoch_floor: int = 0


def check_run(run: RunRow) -> None:
    """Checks what must hold of every run row; the table has the same rules as named CHECKs.

    Raises:
        InvariantError: The row contradicts itself.
    """
    if (run.ended_at is not None) != run.state.terminal:
        raise InvariantError(f"run {run.id} is {run.state} with ended_at {run.ended_at}")
    if run.state.terminal and run.state is not RunState.CANCELLED and run.open_stages:
        raise InvariantError(f"run {run.id} is {run.state} with {run.open_stages} open stages")
    if not 0 <= run.failed_stages or not 0 <= run.open_stages:
        raise InvariantError(
            f"run {run.id} counts {run.open_stages} open and {run.failed_stages} failed stages"
        )
