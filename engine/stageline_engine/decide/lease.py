"""Which session gets which job, and what a lease makes of it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from stageline_engine import events
from stageline_engine.commands import LeaseDemand
from stageline_engine.decide.timeouts import report_deadline
from stageline_engine.decide.view import RunView
from stageline_engine.model.job import JobKind, JobRow


class Urgency(NamedTuple):
    """The total order of jobs: higher priority first, then the older run, then the earlier stage."""

    negative_priority: int
    run_id: UUID
    stage_number: int


def urgency(job: JobRow) -> Urgency:
    """Where a job stands in the queue; the smallest is leased first."""
    return Urgency(-job.priority, job.run_id, job.stage_number)


def assign(
    jobs: Iterable[JobRow], demands: Iterable[LeaseDemand], heads: Mapping[int, Urgency] | None = None
) -> list[tuple[JobRow, UUID]]:
    """Gives jobs to sessions, the most urgent first, spread over the sessions with the most free slots.

    Args:
        jobs: Jobs that are ready.
        demands: Sessions with free slots.
        heads: For each route, the most urgent job that waits in the queue. A job that a waiting one goes before is
            left for the queue, so that handing over eagerly never overtakes.

    Returns:
        Pairs of a job and the session that gets it.
    """
    free = {demand.session_id: demand.slots for demand in demands}
    takers: dict[int, list[LeaseDemand]] = {}
    for demand in demands:
        for route_id in demand.route_ids:
            takers.setdefault(route_id, []).append(demand)
    assigned = []
    for job in sorted(jobs, key=urgency):
        candidates = [demand for demand in takers.get(job.route_id, ()) if free[demand.session_id] > 0]
        if heads:
            candidates = [demand for demand in candidates if not _overtakes(job, demand, heads)]
        if candidates:
            taker = max(candidates, key=lambda demand: free[demand.session_id])
            free[taker.session_id] -= 1
            assigned.append((job, taker.session_id))
    return assigned


def _overtakes(job: JobRow, demand: LeaseDemand, heads: Mapping[int, Urgency]) -> bool:
    """Whether the session should rather take a job that waits in the queue."""
    own = urgency(job)
    return any(route_id in heads and heads[route_id] < own for route_id in demand.route_ids)


def decide_start(
    view: RunView, number: int, session_id: UUID, lease_token: UUID, now: datetime
) -> events.StageStarted | events.CheckStarted:
    """Returns the event that leases a ready job to a session."""
    stage, job, definition = view.stages[number], view.jobs[number], view.definition_of(number)
    if job.kind is JobKind.CHECK:
        return events.CheckStarted(number, stage.stage_id, lease_token, session_id)
    return events.StageStarted(
        number=number,
        stage_id=stage.stage_id,
        stage_name=definition.name,
        kind=job.kind,
        attempt=attempt_to_lease(view, number),
        delivery=stage.delivery + 1,
        lease_token=lease_token,
        session_id=session_id,
        deadline_at=report_deadline(definition, now, now),
    )


def attempt_to_lease(view: RunView, number: int) -> int:
    """The attempt that a lease of a ready job is given for: the present one where it was handed out or waits, else the next."""
    stage = view.stages[number]
    goes_on = stage.delivery or view.jobs[number].kind is JobKind.CHECK
    return stage.attempt if goes_on else stage.attempt + 1
