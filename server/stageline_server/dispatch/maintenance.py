"""What keeps a deployment in order: each chore a bounded step, done by a timer of every server, or all at once by a tick.

No chore has a leader: whatever a step works on it locks, and passes over what another has locked.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from stageline_engine.commands import HistoryPurged, ReapStaleLeases
from stageline_engine.rejections import Rejection
from stageline_server.dispatch.timers import chore

if TYPE_CHECKING:
    from stageline_server.dispatch.plane import ControlPlane

SEQUENCE_INTERVAL = timedelta(minutes=1)
"""Events get their place in the log this often although nobody asks: plugins and readers do not wait for it."""

FORGET_INTERVAL = timedelta(minutes=10)
"""What is past keeping is looked for this often."""

PAUSE_SECONDS = 0.05
"""Wait between two steps that forget: other work comes first."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What one pass over every chore did.

    Attributes:
        reaped_leases: Leases taken back from workers that were lost.
        settled_runs: Runs that were repaired, or ran out of time.
        expired_stages: Stages that ran out of time.
        promoted_jobs: Jobs made ready whose time had come.
        started_runs: Runs that had waited for their time.
        published: Events that plugins took.
        refused: Events that plugins refused.
        purged: What was forgotten.
        more: Whether there is more to do at once.
    """

    reaped_leases: int
    settled_runs: int
    expired_stages: int
    promoted_jobs: int
    started_runs: int
    published: int
    refused: int
    purged: HistoryPurged
    more: bool


class Maintenance:
    """The slow chores of one server, and the tick that does every chore once."""

    def __init__(self, plane: "ControlPlane") -> None:
        """Takes the plane that it works for."""
        self._plane = plane
        self.alarms = [
            chore(plane.ports, plane.events.catch_up, "give events their place", every=SEQUENCE_INTERVAL),
            chore(plane.ports, self._forget, "forget what is past keeping", every=FORGET_INTERVAL),
        ]

    async def tick(self) -> Tick:
        """Does every chore once, each a bounded step. Safe to call from several places at once.

        Raises:
            StorageUnavailableError: The database is away.
        """
        plane = self._plane
        reaped = await plane.housekeeping.reap()
        due = await plane.due_work.step()
        if due.again_at is not None:
            plane.wake_at(due.again_at)
        repaired = await plane.housekeeping.repair()
        await plane.events.catch_up()
        flushed = await plane.events.flush()
        purged, cleaned = await self.forget_some(), await plane.housekeeping.clean_blobs()
        now = plane.ports.clock.now()
        more_events = flushed.next_due_at is not None and flushed.next_due_at <= now
        many_dead = len(reaped.sessions) == ReapStaleLeases().limit
        return Tick(
            reaped_leases=reaped.requeued + reaped.poisoned,
            settled_runs=repaired.runs_settled + due.expired_runs,
            expired_stages=due.expired_stages,
            promoted_jobs=due.promoted,
            started_runs=due.started,
            published=flushed.published,
            refused=flushed.failed,
            purged=purged,
            more=due.more or more_events or many_dead or purged.more or cleaned.more,
        )

    async def forget_some(self) -> HistoryPurged:
        """Forgets a bounded part of what is past keeping.

        Raises:
            StorageUnavailableError: The database is away.
        """
        purged = await self._plane.kernel.dispatch(self._plane.settings.retention)
        assert not isinstance(purged, Rejection)
        return purged

    async def _forget(self) -> None:
        while True:
            if not (await self.forget_some()).more:
                return
            await asyncio.sleep(PAUSE_SECONDS)
