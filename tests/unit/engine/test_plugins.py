"""Plugins: what may be defined, how they are called, and that one's trouble is its own."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from stageline_engine import limits
from stageline_engine.commands import FlushOutbox, OutboxFlushed, ReplayDeadLetters
from stageline_engine.kernel import Kernel
from stageline_engine.limits import EMIT_BACKOFF_MIN, EMIT_TRIES_MAX
from stageline_engine.plugins import (
    Plugin,
    PluginError,
    PluginEvent,
    PluginRunner,
    define_plugin,
    run_plugins,
)
from stageline_engine.plugins.isolation import LEFT_BEHIND_MAX
from stageline_engine.ports import EventRefusedError
from stageline_engine.records import EventRow, EventSource
from stageline_engine.testing import Scene, in_memory, workflow
from stageline_engine.testing.clock import EPOCH
from stageline_engine.testing.ids import SequentialIds

RUN = SequentialIds().new_id()
SOURCE = EventSource(RUN, "acme", "flow")
SOON = timedelta(seconds=0.05)


def story(*types: str) -> list[EventRow]:
    return [EventRow(RUN, number, name, b'{"n":1}', EPOCH, RUN) for number, name in enumerate(types, 1)]


class Notes:
    """A handler that keeps what it is given, and refuses where it is told to."""

    def __init__(self) -> None:
        self.taken: list[PluginEvent] = []
        self.calls: list[PluginEvent] = []
        self.refuse: Callable[[PluginEvent], bool] = lambda event: False

    def __call__(self, event: PluginEvent) -> None:
        self.calls.append(event)
        if self.refuse(event):
            raise ValueError(f"not {event.type}")
        self.taken.append(event)

    def of(self, run_id: UUID) -> list[int]:
        return [event.sequence for event in self.taken if event.run_id == run_id]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "Über"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"on": []}, "1 to 50"),
        ({"on": ["a"] * (limits.EVENT_PATTERNS_MAX + 1)}, "holds 51"),
        ({"on": [""]}, "pattern"),
        ({"on": ["stage:*ed"]}, r"stage:\*ed"),
        ({"timeout": timedelta(0)}, "timeout"),
        ({"timeout": limits.EMIT_TIME_LIMIT_MAX + timedelta(seconds=1)}, "at most 300 s"),
        ({"handler": 3}, "function"),
    ],
)
def test_what_cannot_be_a_plugin_is_refused_with_the_reason(fields: dict[str, object], told: str) -> None:
    given: dict[str, object] = {"name": "audit", "on": ["*"], "handler": print, **fields}
    with pytest.raises(PluginError, match=told):
        define_plugin(**given)  # type: ignore[call-overload]


def test_the_widest_plugin_is_fine() -> None:
    plugin = define_plugin(
        "x" * 128, ["a"] * limits.EVENT_PATTERNS_MAX, print, timeout=limits.EMIT_TIME_LIMIT_MAX
    )
    assert plugin.wants("a")


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(PluginError, match="two plugins"):
        run_plugins([define_plugin("a", ["*"], print), define_plugin("a", "*", print)])


@pytest.mark.parametrize(
    ("on", "wanted"),
    [
        (["*"], ["workflow:created", "stage:started", "stage:failed"]),
        (["stage:*"], ["stage:started", "stage:failed"]),
        (["stage:failed", "workflow:created"], ["workflow:created", "stage:failed"]),
        (["stage"], []),
    ],
)
async def test_a_plugin_is_given_what_it_asks_for(on: list[str], wanted: list[str]) -> None:
    notes = Notes()
    runner = PluginRunner(define_plugin("a", on, notes))
    assert await runner.emit(SOURCE, story("workflow:created", "stage:started", "stage:failed")) == 3
    assert [event.type for event in notes.taken] == wanted


async def test_an_event_says_whose_it_is() -> None:
    notes = Notes()
    await PluginRunner(define_plugin("a", ["*"], notes)).emit(SOURCE, story("stage:started"))
    [event] = notes.taken
    assert (event.run_id, event.sequence, event.namespace, event.workflow_name) == (RUN, 1, "acme", "flow")
    assert (event.payload, event.occurred_at, event.id) == ({"n": 1}, EPOCH, f"{RUN}.1")


async def test_a_decorator_makes_a_plugin_and_coroutines_run_on_a_loop_of_their_own() -> None:
    loops = []

    @define_plugin("a", on=["*"])
    async def handler(event: PluginEvent) -> None:
        loops.append(asyncio.get_running_loop())

    assert isinstance(handler, Plugin)
    runner = PluginRunner(handler)
    assert await runner.emit(SOURCE, story("a", "b")) == 2
    assert len(set(loops)) == 1
    assert loops[0] is not asyncio.get_running_loop()


async def test_a_plain_function_that_makes_a_coroutine_is_waited_for() -> None:
    taken = []

    async def work(event: PluginEvent) -> None:
        taken.append(event.sequence)

    def plain(event: PluginEvent) -> Awaitable[None]:
        return work(event)

    assert await PluginRunner(define_plugin("a", ["*"], plain)).emit(SOURCE, story("a", "b"))
    assert taken == [1, 2]


async def test_what_it_raises_is_told_with_what_was_taken_before() -> None:
    notes = Notes()
    notes.refuse = lambda event: event.sequence == 2
    with pytest.raises(EventRefusedError, match="ValueError: not b") as refused:
        await PluginRunner(define_plugin("a", ["*"], notes)).emit(SOURCE, story("a", "b", "c"))
    assert refused.value.taken == 1


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_a_function_that_hangs_is_left_behind_and_others_go_on(released: threading.Event) -> None:
    def hang(event: PluginEvent) -> None:
        released.wait()

    runner = PluginRunner(define_plugin("a", ["*"], hang, timeout=SOON))
    for _ in range(LEFT_BEHIND_MAX):
        with pytest.raises(EventRefusedError, match=r"TimeoutError: no answer within 0\.05 s"):
            await runner.emit(SOURCE, story("a"))
    with pytest.raises(EventRefusedError, match="8 earlier calls of a still hang"):
        await runner.emit(SOURCE, story("a"))
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "plugin a")


async def test_a_coroutine_that_waits_too_long_is_cancelled() -> None:
    cancelled = threading.Event()

    async def wait(event: PluginEvent) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    runner = PluginRunner(define_plugin("a", ["*"], wait, timeout=SOON))
    with pytest.raises(EventRefusedError, match="TimeoutError"):
        await runner.emit(SOURCE, story("a"))
    assert await asyncio.to_thread(cancelled.wait, 20)


async def test_a_loop_that_is_blocked_is_replaced(released: threading.Event) -> None:
    threads = []

    async def block(event: PluginEvent) -> None:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            released.wait()

    runner = PluginRunner(define_plugin("a", ["*"], block, timeout=SOON))
    with pytest.raises(EventRefusedError, match="TimeoutError"):
        await runner.emit(SOURCE, story("a"))
    assert await runner.emit(SOURCE, story("a")) == 1
    assert threads[0] is not threads[1]


async def test_a_slow_plugin_gives_the_rest_back_instead_of_holding_its_claim() -> None:
    def slow(event: PluginEvent) -> None:
        begun = time.monotonic()
        while time.monotonic() - begun < 0.03:
            pass

    runner = PluginRunner(define_plugin("a", ["*"], slow, timeout=SOON))
    assert 1 <= await runner.emit(SOURCE, story(*"abcdefgh")) < 8


async def two_plugins() -> tuple[Scene, Kernel, Notes, Notes]:
    scene, good, bad = Scene(in_memory()), Notes(), Notes()
    sinks = run_plugins([define_plugin("good", ["*"], good), define_plugin("bad", ["*"], bad)])
    backend = scene.backend
    await scene.register(workflow("flow", "a"))
    return scene, Kernel(backend.persistence, backend.registry, scene.clock, scene.ids, sinks), good, bad


async def test_11_10_112_one_plugins_failure_neither_reruns_nor_delays_another() -> None:
    scene, kernel, good, bad = await two_plugins()
    first, second = await scene.create("flow"), await scene.create("flow")
    bad.refuse = lambda event: event.run_id == first
    assert await kernel.dispatch(FlushOutbox()) == OutboxFlushed(published=6, failed=1)
    await scene.cancel(first)
    assert await kernel.dispatch(FlushOutbox()) == OutboxFlushed(published=2)
    assert (good.of(first), good.of(second), bad.of(first), bad.of(second)) == (
        [1, 2, 3, 4],
        [1, 2],
        [],
        [1, 2],
    )
    bad.refuse = lambda event: False
    scene.clock.advance(EMIT_BACKOFF_MIN)
    assert await kernel.dispatch(FlushOutbox()) == OutboxFlushed(published=4)
    assert bad.of(first) == [1, 2, 3, 4]
    assert len(good.calls) == 6


async def test_11_10_113_a_dead_letter_is_one_plugins_and_is_replayed_or_skipped_alone() -> None:
    scene, kernel, good, bad = await two_plugins()
    run_id = await scene.create("flow")
    bad.refuse = lambda event: event.sequence == 1
    for _ in range(EMIT_TRIES_MAX):
        await kernel.dispatch(FlushOutbox())
        scene.clock.advance(limits.EMIT_BACKOFF_MAX)
    await scene.cancel(run_id)
    assert await kernel.dispatch(FlushOutbox()) == OutboxFlushed(published=2)
    assert (good.of(run_id), bad.of(run_id)) == ([1, 2, 3, 4], [])
    [letter] = await scene.backend.queries.list_dead_letters("default", limit=9)
    assert (letter.consumer, letter.event.sequence, letter.tries) == ("bad", 1, EMIT_TRIES_MAX)
    skip = ReplayDeadLetters((letter.key,), skip=True)
    assert (await kernel.dispatch(skip)).letters == (letter.key,)  # type: ignore[union-attr]
    assert (await kernel.dispatch(skip)).letters == ()  # type: ignore[union-attr]
    assert await kernel.dispatch(FlushOutbox()) == OutboxFlushed(published=3)
    assert bad.of(run_id) == [2, 3, 4]
    assert len(good.calls) == 4


async def test_a_hanging_run_delays_no_other_run_of_its_plugin(released: threading.Event) -> None:
    scene, taken = Scene(in_memory()), Notes()
    await scene.register(workflow("flow", "a"))
    hanging, others = await scene.create("flow"), [await scene.create("flow") for _ in range(3)]
    streams = limits.EMIT_STREAMS_MAX
    assert streams > len(others)

    def handler(event: PluginEvent) -> None:
        if event.run_id == hanging:
            released.wait()
        taken(event)

    backend = scene.backend
    sinks = run_plugins([define_plugin("a", ["*"], handler)])
    kernel = Kernel(backend.persistence, backend.registry, scene.clock, scene.ids, sinks)
    flushing = asyncio.create_task(kernel.dispatch(FlushOutbox()))

    def streams_left() -> set[UUID]:
        return {run_id for run_id, _ in backend.persistence._state.streams}  # type: ignore[attr-defined]

    while streams_left() != {hanging}:
        await asyncio.wait({flushing}, timeout=0.01)
    assert [taken.of(run_id) for run_id in others] == [[1, 2]] * 3
    released.set()
    assert await flushing == OutboxFlushed(published=8)
