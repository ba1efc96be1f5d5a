"""The event log, and which streams of which consumers are due. What changes is worked out at the commit of a transaction."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from uuid import UUID

from stageline_engine.adapters.memory.state import LogEntry, MemoryState, OutboxStream, StreamKey
from stageline_engine.ports import (
    ENTRY_READ,
    DeadLetterKey,
    LogCursor,
    LoggedEvent,
    LogPage,
    OutboxBatch,
    OutboxSettlement,
)
from stageline_engine.records import EventRow, EventSource


def source_of(state: MemoryState, run_id: UUID) -> EventSource:
    """Returns whose a run's events are."""
    run = state.runs[run_id]
    return EventSource(run_id, run.namespace, run.workflow_name)


def sequence(state: MemoryState, now: datetime, count: int) -> None:
    """Gives the oldest commits their places in the log, and each consumer its streams."""
    taken, state.commits = state.commits[:count], state.commits[count:]
    for commit in taken:
        parts: dict[UUID, list[int]] = {}
        for run_id, number in commit:
            parts.setdefault(run_id, []).append(number)
        for run_id, numbers in sorted(parts.items()):
            state.log_position += 1
            state.log.append(LogEntry(state.log_position, run_id, min(numbers), max(numbers), now))
            for consumer in state.consumers:
                _spread(state, (run_id, consumer), min(numbers), max(numbers))


def _spread(state: MemoryState, key: StreamKey, first: int, last: int) -> None:
    if key[0] not in state.runs:
        return  # purged meanwhile
    stream = state.streams.setdefault(key, OutboxStream(published=first - 1))
    stream.pending = last


def due_runs(state: MemoryState, consumer: str, now: datetime) -> Iterator[UUID]:
    """Yields the runs whose stream to a consumer is due, the one that has waited longest first."""
    waiting = [
        (_due_at(state, run_id, stream), run_id)
        for (run_id, name), stream in state.streams.items()
        if name == consumer and stream.dead_at is None
    ]
    return (run_id for due_at, run_id in sorted(waiting) if due_at <= now)


def next_due(state: MemoryState, consumer: str, locked_until: datetime) -> datetime | None:
    """Returns when a stream is due next, apart from those of one claim."""
    times = [
        _due_at(state, run_id, stream)
        for (run_id, name), stream in state.streams.items()
        if name == consumer and stream.dead_at is None and stream.locked_until != locked_until
    ]
    return min(times, default=None)


def _due_at(state: MemoryState, run_id: UUID, stream: OutboxStream) -> datetime:
    """When its claim lapses, its next try is due, or its first unpublished event happened."""
    return stream.locked_until or stream.next_try_at or state.events[run_id][stream.published].occurred_at


def next_batch(state: MemoryState, key: StreamKey, limit: int) -> OutboxBatch:
    """Returns a stream's next unpublished events."""
    stream = state.streams[key]
    events = state.events[key[0]][stream.published : stream.pending][:limit]
    return OutboxBatch(source_of(state, key[0]), events, stream.tries)


def settle(state: MemoryState, consumer: str, settlement: OutboxSettlement) -> None:
    """Notes what became of a claimed stream."""
    key = (settlement.run_id, consumer)
    stream = state.streams.get(key)
    if stream is None or stream.locked_until != settlement.locked_until:
        return
    if settlement.published_up_to >= stream.pending:
        del state.streams[key]
        return
    state.streams[key] = OutboxStream(
        published=settlement.published_up_to,
        pending=stream.pending,
        tries=settlement.tries,
        next_try_at=settlement.next_try_at,
        dead_at=settlement.dead_at,
        last_error=settlement.last_error,
    )


def dead_letters(state: MemoryState) -> list[tuple[DeadLetterKey, OutboxStream]]:
    """Returns the streams that stand, by run and consumer."""
    return [
        (DeadLetterKey(run_id, consumer, stream.published + 1), stream)
        for (run_id, consumer), stream in sorted(state.streams.items(), key=lambda item: item[0])
        if stream.dead_at is not None
    ]


def revive(state: MemoryState, letters: Iterable[DeadLetterKey], *, skip: bool) -> None:
    """Lets streams that stand go on."""
    for run_id, consumer, _ in letters:
        stream = state.streams[run_id, consumer]
        published = stream.published + skip
        if published == stream.pending:
            del state.streams[run_id, consumer]
        else:
            state.streams[run_id, consumer] = OutboxStream(published=published, pending=stream.pending)


def forget(state: MemoryState, consumers: Collection[str]) -> None:
    """Removes consumers with their streams."""
    state.consumers = {name: seen for name, seen in state.consumers.items() if name not in consumers}
    state.streams = {key: stream for key, stream in state.streams.items() if key[1] not in consumers}


def read_log(state: MemoryState, namespace: str, cursor: LogCursor, limit: int) -> LogPage:
    """Returns events of a namespace after a place in the log."""
    found: list[tuple[LogEntry, EventRow | None]] = []
    unread = [entry for entry in state.log if (entry.position, entry.last_sequence) > cursor]
    for entry in unread[:limit]:
        found += _read_entry(state, namespace, entry, cursor)
    page = found[:limit]
    if not page:
        return LogPage([], cursor, more=False)
    entry, last = page[-1]
    more = len(page) == limit
    after = LogCursor(entry.position, last.sequence if more and last else ENTRY_READ)
    events = [
        LoggedEvent(source_of(state, event.run_id), event, entry.position) for entry, event in page if event
    ]
    return LogPage(events, after, more)


def _read_entry(
    state: MemoryState, namespace: str, entry: LogEntry, cursor: LogCursor
) -> list[tuple[LogEntry, EventRow | None]]:
    run = state.runs.get(entry.run_id)
    if run is None or run.namespace != namespace:
        return [(entry, None)]
    events = state.events[entry.run_id][entry.first_sequence - 1 : entry.last_sequence]
    after = cursor.sequence if entry.position == cursor.position else 0
    return [(entry, event) for event in events if event.sequence > after] or [(entry, None)]
