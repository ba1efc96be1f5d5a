"""The outbox: which streams are due, and what a flusher's transaction makes of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from stageline_engine.adapters.memory.state import MemoryState, OutboxStream
from stageline_engine.ports import OutboxBatch, OutboxSettlement


@dataclass(slots=True)
class OutboxChanges:
    """Claims and settlements of one transaction. They are worked out at its commit, on the streams as they are then."""

    claims: dict[UUID, datetime] = field(default_factory=dict)
    settlements: list[OutboxSettlement] = field(default_factory=list)
    revived: dict[UUID, bool] = field(default_factory=dict)

    def publish(self, state: MemoryState) -> None:
        """Writes them."""
        for run_id, locked_until in self.claims.items():
            state.streams[run_id] = replace(state.streams[run_id], locked_until=locked_until)
        for settlement in self.settlements:
            _settle(state, settlement)
        for run_id, skip in self.revived.items():
            _revive(state, run_id, skip=skip)


def _revive(state: MemoryState, run_id: UUID, *, skip: bool) -> None:
    stream = state.streams.get(run_id)
    if stream is None or not stream.dead:
        return
    if skip:
        state.published[run_id] = state.published.get(run_id, 0) + 1
    if state.published.get(run_id, 0) == len(state.events[run_id]):
        del state.streams[run_id]
    else:
        state.streams[run_id] = OutboxStream()


def _settle(state: MemoryState, settlement: OutboxSettlement) -> None:
    stream = state.streams.get(settlement.run_id)
    if stream is None or stream.locked_until != settlement.locked_until:
        return
    state.published[settlement.run_id] = settlement.published_up_to
    if settlement.published_up_to == len(state.events[settlement.run_id]):
        del state.streams[settlement.run_id]
        return
    state.streams[settlement.run_id] = OutboxStream(
        tries=settlement.tries,
        next_try_at=settlement.next_try_at,
        dead=settlement.dead,
        last_error=settlement.last_error,
    )


def due_runs(state: MemoryState, now: datetime) -> Iterator[UUID]:
    """Yields the runs whose stream is due, the one that has waited longest first."""
    waiting = [
        (_waits_since(state, run_id, stream), run_id)
        for run_id, stream in state.streams.items()
        if not stream.dead
        and (stream.next_try_at is None or stream.next_try_at <= now)
        and (stream.locked_until is None or stream.locked_until <= now)
    ]
    return (run_id for _, run_id in sorted(waiting))


def _waits_since(state: MemoryState, run_id: UUID, stream: OutboxStream) -> datetime:
    """Since its claim lapsed, its next try was due, or its first unpublished event happened."""
    first_unpublished = state.events[run_id][state.published.get(run_id, 0)]
    return stream.locked_until or stream.next_try_at or first_unpublished.occurred_at


def next_batch(state: MemoryState, run_id: UUID, limit: int) -> OutboxBatch:
    """Returns a run's next unpublished events."""
    published = state.published.get(run_id, 0)
    return OutboxBatch(
        run_id, state.events[run_id][published : published + limit], state.streams[run_id].tries
    )
