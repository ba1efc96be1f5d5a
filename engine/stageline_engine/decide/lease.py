"""Which session gets which job, and what a lease makes of it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from heapq import heapify, heappop, heapreplace
from operator import itemgetter
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
    kinds = _kinds(demands, heads or {})
    assigned = []
    for place, job in sorted(((_place(urgency(job)), job) for job in jobs), key=itemgetter(0)):
        able = [kind for kind in kinds if kind.free and kind.takes(job.route_id, place)]
        if able:
            taker = min(able, key=lambda kind: kind.free[0])
            less, number, session_id = taker.free[0]
            if less < -1:
                heapreplace(taker.free, (less + 1, number, session_id))
            else:
                heappop(taker.free)
            assigned.append((job, session_id))
    return assigned


Place = tuple[int, int, int]
"""An urgency in plain numbers, which compare in a fraction of the time that ids take."""


class _Kind:
    """Sessions that can run the same: there are many sessions, and few kinds of them."""

    def __init__(self, routes: frozenset[int], heads: Mapping[int, Urgency]) -> None:
        self.routes = routes
        self.head = min(
            (_place(head) for route_id, head in heads.items() if route_id in routes), default=None
        )
        self.free: list[tuple[int, int, UUID]] = []  # a heap, the session with the most free slots first

    def takes(self, route_id: int, place: Place) -> bool:
        """Whether its sessions run such a job, and should not rather take one that waits in the queue."""
        return route_id in self.routes and (self.head is None or place <= self.head)


def _kinds(demands: Iterable[LeaseDemand], heads: Mapping[int, Urgency]) -> list[_Kind]:
    kinds: dict[tuple[int, ...], _Kind] = {}
    for number, demand in enumerate(demands):
        if demand.slots > 0:
            kind = kinds.get(demand.route_ids)
            if kind is None:
                kind = kinds[demand.route_ids] = _Kind(frozenset(demand.route_ids), heads)
            kind.free.append((-demand.slots, number, demand.session_id))
    for kind in kinds.values():
        heapify(kind.free)
    return list(kinds.values())


def _place(urgency: Urgency) -> Place:
    return urgency.negative_priority, urgency.run_id.int, urgency.stage_number


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
