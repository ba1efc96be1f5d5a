"""``outbox.flush``: gives events to their consumers, in order per run, at least once, each consumer apart from the others.

A claim outlives its transaction, so that none is open while a consumer works: claim and commit, emit, settle and commit.
A refused event holds up its own run's stream to this consumer only: it waits for its next try, and once it is
dead-lettered the stream stands until it is replayed, since passing over it would tell the run's story out of order.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from stageline_engine.commands import FlushOutbox, OutboxFlushed
from stageline_engine.limits import (
    EMIT_BACKOFF_MAX,
    EMIT_BACKOFF_MIN,
    EMIT_STREAMS_MAX,
    EMIT_TRIES_MAX,
    ERROR_MESSAGE_LENGTH_MAX,
)
from stageline_engine.ports import (
    Clock,
    EventRefusedError,
    EventSink,
    OutboxBatch,
    OutboxSettlement,
    Persistence,
)
from stageline_engine.records import ChangeSet

SEQUENCED_MAX = 500
"""Commits that are given their place in one transaction."""


async def flush_outbox(
    command: FlushOutbox, persistence: Persistence, sinks: Mapping[str, EventSink], clock: Clock
) -> OutboxFlushed:
    """Publishes events that are due. Safe to run on several servers at once.

    Args:
        command: To whom, and how many events at most.
        persistence: Where the outbox is.
        sinks: The consumers by name; without any, everything is left as it is.
        clock: The one source of time.
    """
    wanted = {name: sink for name, sink in sinks.items() if command.consumer in ("", name)}
    if not wanted:
        return OutboxFlushed(0)
    await _sequence(persistence, wanted, clock)
    flushes = [
        _Flush(name, sink, persistence, clock).run(command.limit) for name, sink in sorted(wanted.items())
    ]
    done = await asyncio.gather(*flushes)
    return OutboxFlushed(
        published=sum(one.published for one in done),
        failed=sum(one.failed for one in done),
        dead=sum(one.dead for one in done),
        next_due_at=_earliest(one.next_due_at for one in done),
    )


async def keep_consumers(persistence: Persistence, consumers: Collection[str], clock: Clock) -> None:
    """Notes that consumers live, before there is anything to tell them."""
    if consumers:
        async with persistence.begin() as work:
            await work.keep_consumers(consumers, clock.now())
            await work.commit(ChangeSet())


async def _sequence(persistence: Persistence, consumers: Collection[str], clock: Clock) -> None:
    """Gives every committed event its place, and makes sure that these consumers are told."""
    taken = SEQUENCED_MAX
    while taken == SEQUENCED_MAX:
        async with persistence.begin() as work:
            await work.keep_consumers(consumers, clock.now())
            taken = await work.sequence_events(clock.now(), SEQUENCED_MAX)
            await work.commit(ChangeSet())


@dataclass(frozen=True, slots=True)
class _Emitted:
    """What became of one stream."""

    settlement: OutboxSettlement
    published: int
    refused: bool


class _Flush:
    """One flush to one consumer."""

    def __init__(self, consumer: str, sink: EventSink, persistence: Persistence, clock: Clock) -> None:
        self._consumer = consumer
        self._sink = sink
        self._persistence = persistence
        self._clock = clock
        # An emission begins in the first half of the claim and so ends within it.
        self._locked_until = clock.now() + 2 * sink.time_limit
        self._streams = asyncio.Semaphore(EMIT_STREAMS_MAX)

    async def run(self, limit: int) -> OutboxFlushed:
        async with self._persistence.begin() as work:
            batches = await work.claim_outbox(self._consumer, self._clock.now(), limit, self._locked_until)
            next_due_at = await work.next_outbox_due(self._consumer, self._locked_until)
            await work.commit(ChangeSet())
        emitted = await self._emit_all(batches)
        return OutboxFlushed(
            published=sum(one.published for one in emitted),
            failed=sum(one.refused for one in emitted),
            dead=sum(one.settlement.dead_at is not None for one in emitted),
            next_due_at=_earliest([next_due_at, *map(self._due_again, batches, emitted)]),
        )

    async def _emit_all(self, batches: Sequence[OutboxBatch]) -> Sequence[_Emitted]:
        """Emits side by side, and settles whatever has ended while the slowest still work."""
        waiting = {asyncio.create_task(self._emit(batch)) for batch in batches}
        tasks = list(waiting)
        try:
            while waiting:
                ended, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                await self._settle([task.result().settlement for task in ended])
        finally:
            for task in waiting:
                task.cancel()
        return [task.result() for task in tasks]

    async def _emit(self, batch: OutboxBatch) -> _Emitted:
        """Offers one run's events to the sink and says what became of them."""
        async with self._streams:
            if self._clock.now() > self._locked_until - self._sink.time_limit:
                return _Emitted(self._taken(batch, 0, tries=batch.tries), 0, refused=False)
            try:
                taken = await self._sink.emit(batch.source, batch.events)
            except EventRefusedError as refusal:
                return self._refused(batch, refusal.taken, str(refusal))
            except Exception as error:  # noqa: BLE001 - a sink is foreign code: whatever it raises is a refusal
                return self._refused(batch, 0, f"{type(error).__name__}: {error}")
        taken = min(max(taken, 0), len(batch.events))
        if not taken:
            return self._refused(batch, 0, "the sink did not take it")
        return _Emitted(self._taken(batch, taken), taken, refused=False)

    def _taken(self, batch: OutboxBatch, taken: int, *, tries: int = 0) -> OutboxSettlement:
        up_to = batch.events[0].sequence - 1 + taken
        return OutboxSettlement(batch.run_id, self._locked_until, up_to, tries)

    def _refused(self, batch: OutboxBatch, taken: int, reason: str) -> _Emitted:
        taken, now = min(max(taken, 0), len(batch.events) - 1), self._clock.now()
        tries = 1 if taken else batch.tries + 1
        settlement = OutboxSettlement(
            run_id=batch.run_id,
            locked_until=self._locked_until,
            published_up_to=batch.events[taken].sequence - 1,
            tries=tries,
            next_try_at=now + emit_backoff(tries),
            dead_at=now if tries >= EMIT_TRIES_MAX else None,
            last_error=reason.replace("\0", "�")[:ERROR_MESSAGE_LENGTH_MAX],
        )
        return _Emitted(settlement, taken, refused=True)

    def _due_again(self, batch: OutboxBatch, emitted: _Emitted) -> datetime | None:
        """When a stream that was claimed is due again; None where nothing of it is known to be left."""
        settlement = emitted.settlement
        if settlement.dead_at is not None or settlement.published_up_to == batch.events[-1].sequence:
            return None
        return settlement.next_try_at or self._clock.now()

    async def _settle(self, settlements: Sequence[OutboxSettlement]) -> None:
        async with self._persistence.begin() as work:
            await work.settle_outbox(self._consumer, settlements)
            await work.commit(ChangeSet())


def _earliest(times: Iterable[datetime | None]) -> datetime | None:
    return min((moment for moment in times if moment is not None), default=None)


def emit_backoff(tries: int) -> timedelta:
    """Returns the wait after an event was refused for the ``tries``-th time in a row, 1-based."""
    doublings = min(tries - 1, EMIT_TRIES_MAX)
    return min(EMIT_BACKOFF_MIN * (1 << doublings), EMIT_BACKOFF_MAX)
