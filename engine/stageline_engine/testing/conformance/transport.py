"""What a JobTransport must do."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from stageline_engine.commands import LeaseReference
from stageline_engine.ports import Hint, JobTransport
from stageline_engine.testing.conformance.base import Conformance

ANNOUNCED_AGAIN_AFTER = timedelta(seconds=0.1)
ANNOUNCEMENTS_MAX = 100


async def heard(transport: JobTransport, hint: Hint, *, listeners: int = 1) -> list[Hint]:
    """Announces a hint until every listener has told of its routes, and returns what each of them told.

    A hint that comes before a listener is ready may be lost, so it is announced again and again.
    """
    streams = [transport.listen() for _ in range(listeners)]
    waiting = [asyncio.ensure_future(_telling(stream, hint)) for stream in streams]
    for _ in range(ANNOUNCEMENTS_MAX):
        await transport.announce(hint)
        _, pending = await asyncio.wait(waiting, timeout=ANNOUNCED_AGAIN_AFTER.total_seconds())
        if not pending:
            break
    for task in waiting:
        task.cancel()
    words = await asyncio.gather(*waiting, return_exceptions=True)
    for stream in streams:
        await stream.aclose()  # type: ignore[attr-defined]
    return [word for word in words if isinstance(word, Hint)]


async def _telling(stream: AsyncIterator[Hint], hint: Hint) -> Hint:
    async for got in stream:
        if got.routes >= hint.routes:
            return got
    raise AssertionError("the stream of hints has ended")


class TransportConformance(Conformance):
    """A hint reaches every listener with all that it says; it may come merged with others."""

    async def test_a_hint_arrives_whole(self) -> None:
        async with self.scene() as scene:
            new_id = scene.ids.new_id
            hint = Hint(
                routes=frozenset({1, 7}),
                runs=frozenset({new_id(), new_id()}),
                stopped=(LeaseReference(new_id(), scene.ids.new_token(), new_id(), 3),),
                wake_at=scene.clock.now(),
                revoked_tokens=frozenset({new_id()}),
            )
            [got] = await heard(scene.backend.transport, hint)
            assert got.all_runs or got.runs == hint.runs
            assert (got.routes, got.wake_at) == (hint.routes, hint.wake_at)
            assert (set(got.stopped), got.revoked_tokens) == (set(hint.stopped), hint.revoked_tokens)

    async def test_every_listener_hears_it(self) -> None:
        async with self.scene() as scene:
            words = await heard(scene.backend.transport, Hint(routes=frozenset({5})), listeners=2)
            assert [word.routes for word in words] == [{5}, {5}]

    async def test_a_hint_of_very_many_runs_is_a_hint_of_all_or_names_them(self) -> None:
        async with self.scene() as scene:
            runs = frozenset(scene.ids.new_id() for _ in range(5000))
            [got] = await heard(scene.backend.transport, Hint(runs=runs))
            assert got.all_runs or got.runs <= runs

    async def test_announcing_to_nobody_is_no_error(self) -> None:
        async with self.scene() as scene:
            await scene.backend.transport.announce(Hint(all_runs=True))
