"""A session: one worker's stream, with its identity. It owns leases: a job's lease is stale when its session is.

A worker that lives for one call has a session without a stream: whoever asks for it extends it, at any server.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct, field

from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.model.labels import labels_satisfy

NO_SERVER = ""
"""The ``server_id`` of a session without a stream."""


class SessionStages(NamedTuple):
    """Stages of one workflow version that a worker can run; no ids means all of them."""

    workflow_name: str
    workflow_version: int
    stage_ids: tuple[str, ...] = ()

    def names(self, workflow: RegisteredWorkflow, stage_id: str) -> bool:
        """Whether a stage of a workflow version is among them."""
        of_version = (self.workflow_name, self.workflow_version) == (
            workflow.definition.name,
            workflow.version,
        )
        return of_version and (not self.stage_ids or stage_id in self.stage_ids)


class WorkerKind(NamedTuple):
    """Living sessions that say the same of what they can run.

    Attributes:
        stages: What each of them can run.
        labels: The labels that each of them has.
        sessions: How many there are.
        slots: Slots of all of them together.
    """

    stages: tuple[SessionStages, ...]
    labels: Mapping[str, str]
    sessions: int
    slots: int


def served_routes(
    workflow: RegisteredWorkflow, labels: Mapping[str, str], stage_ids: Iterable[str] = ()
) -> tuple[int, ...]:
    """Returns the routes of the stages that a worker with these labels may be given.

    Args:
        workflow: A version that it has.
        labels: Its labels.
        stage_ids: The stages of it that the worker has, all of them known ones; none means all.
    """
    definition = workflow.definition
    numbers = [definition.number_by_id[stage_id] for stage_id in stage_ids or definition.number_by_id]
    return tuple(
        workflow.route_ids[number - 1]
        for number in numbers
        if labels_satisfy(labels, definition.stages[number - 1].required_labels)
    )


class SessionRow(Struct, frozen=True):
    """One row of ``sessions``.

    Attributes:
        id: UUIDv7 given by the server; the worker names it when it comes back.
        namespace: The tenant.
        worker_name: What the worker calls itself, such as ``host-1.4711``.
        server_id: The server that its stream is on; ``NO_SERVER`` where it has none.
        slots: Jobs that it takes at a time.
        sdk: Name and version of its SDK.
        labels: What it says of itself, for routing and for people.
        connected_at: When the present stream began.
        expires_at: When its leases become stale unless it is heard of.
        ended_at: When it said goodbye or was given up; None while it lives.
        end_reason: Why, from the closed list of disconnect reasons.
        stages: What it can run, as it said when the session began.
        disconnect_reason: Why its last stream ended, from the closed list; empty while it has one.
        disconnected_at: When that was; None while it has a stream.
    """

    id: UUID
    namespace: str
    worker_name: str
    server_id: str
    slots: int
    sdk: str
    connected_at: datetime
    expires_at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    ended_at: datetime | None = None
    end_reason: str = ""
    stages: tuple[SessionStages, ...] = ()
    disconnect_reason: str = ""
    disconnected_at: datetime | None = None
