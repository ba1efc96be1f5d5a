"""What a committed batch means for the world around it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from stageline_engine.commands.jobs import JobOffer, LeaseReference


@dataclass(frozen=True, slots=True)
class Effects:
    """What a committed batch means for the world around it.

    Attributes:
        offers: Jobs leased in the batch, to be sent to their sessions.
        ready_routes: Routes that have jobs waiting for a worker.
        stopped: Leases that no longer count; their holders should be told.
        touched_runs: Runs with new events; their watchers should look.
        wake_at: The earliest time at which something is due that the batch has set: a job, a deadline, a run's start.
    """

    offers: tuple[JobOffer, ...] = ()
    ready_routes: frozenset[int] = frozenset()
    stopped: tuple[LeaseReference, ...] = ()
    touched_runs: frozenset[UUID] = frozenset()
    wake_at: datetime | None = None
