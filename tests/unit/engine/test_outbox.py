"""SPEC 11.10.112 and 113: the outbox gives events to the sink in order per run, and one run's trouble is its own."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from stageline_engine.adapters.memory import MemoryStore
from stageline_engine.commands import FlushOutbox, OutboxFlushed
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.handlers.outbox import emit_backoff
from stageline_engine.kernel import Kernel
from stageline_engine.limits import (
    EMIT_BACKOFF_MAX,
    EMIT_BACKOFF_MIN,
    EMIT_TRIES_MAX,
    ERROR_MESSAGE_LENGTH_MAX,
)
from stageline_engine.records import EventRow, EventSource
from stageline_engine.testing import Backend, CollectingSink, Scene, workflow
from stageline_engine.testing.simulation.unreliable import Loss, UnreliablePersistence

LIMIT = CollectingSink().time_limit


async def flush(scene: Scene, limit: int = 100) -> OutboxFlushed:
    return await scene.kernel.dispatch(FlushOutbox(limit))


async def two_runs(scene: Scene) -> tuple[object, object]:
    await scene.register(workflow("flow", "a"))
    return await scene.create("flow"), await scene.create("flow")


def told(sink: CollectingSink, run_id: object) -> list[int]:
    return [event.sequence for event in sink.taken if event.run_id == run_id]


async def test_events_are_published_once_in_their_order(scene: Scene, sink: CollectingSink) -> None:
    first, second = await two_runs(scene)
    assert await flush(scene) == OutboxFlushed(published=4)
    assert (told(sink, first), told(sink, second)) == ([1, 2], [1, 2])
    assert await flush(scene) == OutboxFlushed(published=0)
    await scene.cancel(first)  # type: ignore[arg-type]
    assert await flush(scene) == OutboxFlushed(published=2)
    assert told(sink, first) == [1, 2, 3, 4]


async def test_what_is_published_is_what_watchers_read(scene: Scene, sink: CollectingSink) -> None:
    first, _ = await two_runs(scene)
    await flush(scene)
    assert [event for event in sink.taken if event.run_id == first] == list(await scene.events(first))  # type: ignore[arg-type]


async def test_a_limit_is_kept_and_the_rest_comes_with_the_next_call(
    scene: Scene, sink: CollectingSink
) -> None:
    first, second = await two_runs(scene)
    assert await flush(scene, limit=3) == OutboxFlushed(published=3)
    assert await flush(scene, limit=3) == OutboxFlushed(published=1)
    assert told(sink, first) == told(sink, second) == [1, 2]


async def test_without_a_sink_nothing_is_touched() -> None:
    store = MemoryStore()
    backend = Backend(
        store.persistence,
        store.registry,
        store.queries,
        store.logs,
        store.sessions,
        store.transport,
        store.blob_index,
        store.usage,
    )
    scene, sink = Scene(backend), CollectingSink()
    first, _ = await two_runs(scene)
    assert await flush(scene) == OutboxFlushed(published=0)
    later = Kernel(store.persistence, store.registry, scene.clock, scene.ids, {"sink": sink})
    assert await later.dispatch(FlushOutbox()) == OutboxFlushed(published=4)
    assert told(sink, first) == [1, 2]


async def test_11_10_112_a_refused_event_holds_its_run_and_no_other(
    scene: Scene, sink: CollectingSink
) -> None:
    first, second = await two_runs(scene)
    sink.refuse = lambda event: event.run_id == first
    assert await flush(scene) == OutboxFlushed(published=2, failed=1)
    assert (told(sink, first), told(sink, second)) == ([], [1, 2])
    sink.refuse = lambda event: False
    assert await flush(scene) == OutboxFlushed(published=0)
    scene.clock.advance(EMIT_BACKOFF_MIN)
    assert await flush(scene) == OutboxFlushed(published=2)
    assert told(sink, first) == [1, 2]


async def test_what_the_sink_took_before_it_refused_does_not_come_again(
    scene: Scene, sink: CollectingSink
) -> None:
    first, _ = await two_runs(scene)
    sink.refuse = lambda event: event.type == "workflow:started"
    assert await flush(scene) == OutboxFlushed(published=2, failed=2)
    sink.refuse = lambda event: False
    scene.clock.advance(EMIT_BACKOFF_MIN)
    await flush(scene)
    assert told(sink, first) == [1, 2]


async def test_waits_double_up_to_the_longest_and_the_last_try_is_the_last(
    scene: Scene, sink: CollectingSink
) -> None:
    first, second = await two_runs(scene)
    await flush(scene)
    await scene.cancel(first)  # type: ignore[arg-type]
    sink.refuse = lambda event: event.run_id == first
    for tries in range(1, EMIT_TRIES_MAX + 1):
        flushed = await flush(scene)
        assert flushed == OutboxFlushed(published=0, failed=1, dead=int(tries == EMIT_TRIES_MAX)), tries
        scene.clock.advance(emit_backoff(tries) - timedelta(microseconds=1))
        assert await flush(scene) == OutboxFlushed(published=0)
        scene.clock.advance(timedelta(microseconds=1))
    sink.refuse = lambda event: False
    scene.clock.advance(timedelta(days=30))
    await scene.cancel(second)  # type: ignore[arg-type]
    assert await flush(scene) == OutboxFlushed(published=2)
    assert (told(sink, first), told(sink, second)) == ([1, 2], [1, 2, 3, 4])


def test_backoff_doubles_from_the_shortest_to_the_longest() -> None:
    assert [emit_backoff(tries).total_seconds() for tries in range(1, 11)] == [
        1, 2, 4, 8, 16, 32, 64, 128, 256, 300
    ]  # fmt: skip
    assert emit_backoff(1) == EMIT_BACKOFF_MIN
    assert emit_backoff(10_000) == EMIT_BACKOFF_MAX
    assert sum((emit_backoff(n) for n in range(1, EMIT_TRIES_MAX)), timedelta()) > timedelta(minutes=50)


async def test_a_success_resets_the_count_of_tries(scene: Scene, sink: CollectingSink) -> None:
    await two_runs(scene)
    sink.refuse = lambda event: event.type == "workflow:created"
    for tries in range(1, 4):
        assert (await flush(scene)).failed == 2
        scene.clock.advance(emit_backoff(tries))
    sink.refuse = lambda event: event.type == "workflow:started"
    assert await flush(scene) == OutboxFlushed(published=2, failed=2)
    scene.clock.advance(emit_backoff(1))
    sink.refuse = lambda event: False
    assert await flush(scene) == OutboxFlushed(published=2)


class WatchedSink:
    """Lets a test look at the world while a sink works."""

    time_limit = LIMIT

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.entered, self.let_go = asyncio.Event(), asyncio.Event()
        self.taken: list[EventRow] = []

    async def emit(self, source: EventSource, events: Sequence[EventRow]) -> int:
        self.entered.set()
        await self.let_go.wait()
        self.taken += events
        return len(events)


async def test_no_transaction_is_open_while_the_sink_works(scene: Scene) -> None:
    first, _ = await two_runs(scene)
    sink, backend = WatchedSink(scene), scene.backend
    kernel = Kernel(backend.persistence, backend.registry, scene.clock, scene.ids, {"sink": sink})
    flushing = asyncio.create_task(kernel.dispatch(FlushOutbox()))
    await sink.entered.wait()
    await scene.cancel(first)  # type: ignore[arg-type]
    assert await flush(scene) == OutboxFlushed(published=0)
    sink.let_go.set()
    assert await flushing == OutboxFlushed(published=4)
    assert await flush(scene) == OutboxFlushed(published=2)


async def test_a_flusher_that_dies_leaves_its_streams_to_the_next_after_its_claim(scene: Scene) -> None:
    first, _ = await two_runs(scene)
    sink, backend = CollectingSink(), scene.backend
    persistence = UnreliablePersistence(backend.persistence)
    kernel = Kernel(persistence, backend.registry, scene.clock, scene.ids, {"sink": sink})
    persistence.loss, persistence.commits_left = Loss.BEFORE_COMMIT, 2  # it sequences and claims
    with pytest.raises(StorageUnavailableError):
        await kernel.dispatch(FlushOutbox())
    persistence.loss = None
    assert await kernel.dispatch(FlushOutbox()) == OutboxFlushed(published=0)
    scene.clock.advance(2 * LIMIT)
    assert await kernel.dispatch(FlushOutbox()) == OutboxFlushed(published=4)
    assert told(sink, first) == [1, 2, 1, 2]


async def test_a_flusher_that_is_too_slow_leaves_the_rest_alone(scene: Scene) -> None:
    await two_runs(scene)

    class SlowSink(CollectingSink):
        async def emit(self, source: EventSource, events: Sequence[EventRow]) -> int:
            scene.clock.advance(2 * LIMIT)
            return await super().emit(source, events)

    sink, backend = SlowSink(), scene.backend
    kernel = Kernel(backend.persistence, backend.registry, scene.clock, scene.ids, {"sink": sink})
    assert await kernel.dispatch(FlushOutbox()) == OutboxFlushed(published=2)
    assert len(sink.taken) == 2
    assert await kernel.dispatch(FlushOutbox()) == OutboxFlushed(published=2)


@pytest.mark.parametrize("answer", [-5, 99])
async def test_a_sink_that_miscounts_breaks_nothing(scene: Scene, answer: int) -> None:
    await two_runs(scene)

    class Miscounting:
        time_limit = LIMIT

        async def emit(self, source: EventSource, events: Sequence[EventRow]) -> int:
            return answer

    backend = scene.backend
    kernel = Kernel(backend.persistence, backend.registry, scene.clock, scene.ids, {"sink": Miscounting()})
    expected = OutboxFlushed(published=4) if answer > 0 else OutboxFlushed(published=0, failed=2)
    assert await kernel.dispatch(FlushOutbox()) == expected


async def test_the_reason_of_a_refusal_is_kept_within_its_limit() -> None:
    store = MemoryStore()
    backend = Backend(
        store.persistence,
        store.registry,
        store.queries,
        store.logs,
        store.sessions,
        store.transport,
        store.blob_index,
        store.usage,
    )

    class Failing:
        time_limit = LIMIT

        async def emit(self, source: EventSource, events: Sequence[EventRow]) -> int:
            raise OSError("down \0 " + "x" * ERROR_MESSAGE_LENGTH_MAX)

    scene = Scene(backend, sink=Failing())
    first, _ = await two_runs(scene)
    await flush(scene)
    kept = store.persistence._state.streams[first, "sink"].last_error  # type: ignore[index]
    assert kept.startswith("OSError: down")
    assert "\0" not in kept
    assert len(kept) == ERROR_MESSAGE_LENGTH_MAX
