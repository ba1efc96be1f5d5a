"""``outbox.flush``: gives unpublished events to the sink, in order per run, at least once.

A claim outlives its transaction, so that none is open while the sink works: claim and commit, emit, settle and commit.
A refused event holds up its own run's stream only: it waits for its next try, and once it is dead-lettered the stream
stands until it is replayed, since passing over it would tell the run's story out of order.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from stageline_engine.commands import FlushOutbox, OutboxFlushed
from stageline_engine.limits import (
    EMIT_BACKOFF_MAX,
    EMIT_BACKOFF_MIN,
    EMIT_CLAIM,
    EMIT_TRIES_MAX,
    ERROR_MESSAGE_LENGTH_MAX,
)
from stageline_engine.ports import Clock, EventSink, OutboxBatch, OutboxSettlement, Persistence
from stageline_engine.records import ChangeSet


@dataclass(slots=True)
class _Emission:
    """What one flush has done so far."""

    settlements: list[OutboxSettlement] = field(default_factory=list)
    published: int = 0
    failed: int = 0
    dead: int = 0


async def flush_outbox(
    command: FlushOutbox, persistence: Persistence, sink: EventSink | None, clock: Clock
) -> OutboxFlushed:
    """Publishes events that are due. Safe to run on several servers at once.

    Args:
        command: How many events at most.
        persistence: Where the outbox is.
        sink: Where events go; None leaves everything as it is.
        clock: The one source of time.
    """
    if sink is None:
        return OutboxFlushed(0)
    locked_until = clock.now() + EMIT_CLAIM
    async with persistence.begin() as work:
        batches = await work.claim_outbox(clock.now(), command.limit, locked_until)
        await work.commit(ChangeSet())
    emission = _Emission()
    for batch in batches:
        if clock.now() >= locked_until:
            break  # these streams may be another flusher's by now
        await _emit(batch, sink, clock, locked_until, emission)
    if emission.settlements:
        async with persistence.begin() as work:
            await work.settle_outbox(emission.settlements)
            await work.commit(ChangeSet())
    return OutboxFlushed(emission.published, emission.failed, emission.dead)


async def _emit(
    batch: OutboxBatch, sink: EventSink, clock: Clock, locked_until: datetime, emission: _Emission
) -> None:
    """Offers one run's events to the sink and notes what became of them."""
    refusal = ""
    try:
        taken = min(max(await sink.emit(batch.events), 0), len(batch.events))
    except Exception as error:  # noqa: BLE001 - a sink is foreign code: whatever it raises is a refusal
        taken, refusal = 0, f"{type(error).__name__}: {error}"
    emission.published += taken
    if taken == len(batch.events):
        emission.settlements.append(OutboxSettlement(batch.run_id, locked_until, batch.events[-1].sequence))
        return
    refused = batch.events[taken]
    tries = 1 if taken else batch.tries + 1
    dead = tries >= EMIT_TRIES_MAX
    emission.failed += 1
    emission.dead += dead
    emission.settlements.append(
        OutboxSettlement(
            run_id=batch.run_id,
            locked_until=locked_until,
            published_up_to=refused.sequence - 1,
            tries=tries,
            next_try_at=clock.now() + emit_backoff(tries),
            dead=dead,
            last_error=(refusal or "the sink did not take it").replace("\0", "�")[:ERROR_MESSAGE_LENGTH_MAX],
        )
    )


def emit_backoff(tries: int) -> timedelta:
    """Returns the wait after an event was refused for the ``tries``-th time in a row, 1-based."""
    doublings = min(tries - 1, EMIT_TRIES_MAX)
    return min(EMIT_BACKOFF_MIN * (1 << doublings), EMIT_BACKOFF_MAX)
