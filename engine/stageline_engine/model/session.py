"""A session: one worker's stream, with its identity. It owns leases: a job's lease is stale when its session is.

A worker that lives for one call has a session without a stream: whoever asks for it extends it, at any server.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct, field

NO_SERVER = ""
"""The ``server_id`` of a session without a stream."""


class SessionStages(NamedTuple):
    """Stages of one workflow version that a worker can run; no ids means all of them."""

    workflow_name: str
    workflow_version: int
    stage_ids: tuple[str, ...] = ()


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
