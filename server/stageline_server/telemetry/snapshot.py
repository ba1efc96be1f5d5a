"""One look at a server, for its metrics: taken on its event loop, so that nothing changes meanwhile."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from stageline_engine.errors import EngineError
from stageline_engine.ports import PoolUse, Workload
from stageline_server.dispatch.plane import ControlPlane


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a server was doing at one moment.

    Attributes:
        at: The moment.
        sessions: Sessions with a stream here, by state: ``ready``, ``draining``, ``congested``.
        slots: Slots of all of them.
        free_slots: Those of them that jobs may still be leased to.
        leases: Jobs that they hold.
        outbox_bytes: What waits for their streams.
        commands_waiting: Commands that no batch has taken yet, by the batch's name.
        lateness_seconds: How late the event loop was at worst, in the last minute.
        pools: Use of the database's connections, by pool; empty in memory.
        workload: What the store holds; None where it could not be asked.
    """

    at: datetime
    sessions: Mapping[str, int]
    slots: int
    free_slots: int
    leases: int
    outbox_bytes: int
    commands_waiting: Mapping[str, int]
    lateness_seconds: float
    pools: Mapping[str, PoolUse]
    workload: Workload | None


async def take_snapshot(plane: ControlPlane, lateness_seconds: float) -> Snapshot:
    """Looks at a server, and asks its store one question."""
    try:
        workload = await plane.ports.queries.workload()
    except EngineError:
        workload = None
    sessions = plane.sessions.all()
    states = Counter(
        "draining" if each.draining else "congested" if each.congested else "ready" for each in sessions
    )
    return Snapshot(
        at=plane.ports.clock.now(),
        sessions={state: states[state] for state in ("ready", "draining", "congested")},
        slots=sum(each.slots for each in sessions),
        free_slots=sum(each.free_slots for each in sessions),
        leases=sum(len(each.held) for each in sessions),
        outbox_bytes=sum(each.outlet.waiting_bytes for each in sessions),
        commands_waiting={each.name.removeprefix("batcher:"): each.waiting for each in plane.batchers},
        lateness_seconds=lateness_seconds,
        pools=plane.ports.pools(),
        workload=workload,
    )
