"""Hints between servers: gathered while one is on its way, kept while none can be sent, never the end of the listener."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

from stageline_engine.adapters.memory.transport import MemoryTransport
from stageline_engine.commands import Effects, LeaseReference
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.ports import Hint
from stageline_engine.testing.clock import EPOCH
from stageline_server.dispatch.announcer import RUNS_NAMED_MAX, Announcer, merged
from stageline_server.dispatch.listener import Listener

LEASE = LeaseReference(uuid4(), uuid4(), uuid4(), 1)


class SlowTransport:
    """Announces when the test lets it; fails where it says so."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Hint] = asyncio.Queue()
        self.tried: asyncio.Queue[None] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.failures = 0
        self.has_company = True

    async def announce(self, hint: Hint) -> None:
        self.tried.put_nowait(None)
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise StorageUnavailableError("away")
        self.sent.put_nowait(hint)

    async def listen(self) -> AsyncIterator[Hint]:
        yield Hint()


async def test_hints_gather_while_one_is_on_its_way() -> None:
    transport = SlowTransport()
    announcer = Announcer(transport)
    announcer.start()
    announcer.announce(Effects(), ())
    announcer.announce(Effects(ready_routes=frozenset({1})), ())
    await transport.tried.get()
    announcer.announce(Effects(ready_routes=frozenset({2})), ())
    announcer.announce(Effects(wake_at=EPOCH), (LEASE,))
    transport.gate.set()
    assert await transport.sent.get() == Hint(routes=frozenset({1}))
    assert await transport.sent.get() == Hint(routes=frozenset({2}), stopped=(LEASE,), wake_at=EPOCH)
    assert transport.sent.empty()
    await announcer.stop()


async def test_a_server_that_is_alone_announces_nothing() -> None:
    transport = SlowTransport()
    transport.gate.set()
    announcer = Announcer(transport)
    announcer.start()
    transport.has_company = False
    announcer.announce(Effects(ready_routes=frozenset({1})), (LEASE,))
    transport.has_company = True
    announcer.announce(Effects(ready_routes=frozenset({2})), ())
    assert await transport.sent.get() == Hint(routes=frozenset({2}))
    await announcer.stop()


async def test_a_hint_that_could_not_be_sent_is_sent_with_the_next() -> None:
    transport = SlowTransport()
    transport.failures = 1
    announcer = Announcer(transport)
    announcer.start()
    announcer.announce(Effects(), (LEASE,))
    await transport.tried.get()
    announcer.announce(Effects(ready_routes=frozenset({1})), ())
    transport.gate.set()
    assert await asyncio.wait_for(transport.sent.get(), 20) == Hint(routes=frozenset({1}), stopped=(LEASE,))
    await announcer.stop()


def test_merged_hints_say_what_both_said() -> None:
    runs = [uuid4() for _ in range(RUNS_NAMED_MAX + 1)]
    one = Hint(frozenset({1}), frozenset(runs[:1]), (LEASE,), EPOCH + timedelta(1))
    other = Hint(frozenset({2}), frozenset(runs[1:2]), (LEASE,), EPOCH)
    assert merged(one, other) == Hint(frozenset({1, 2}), frozenset(runs[:2]), (LEASE,), EPOCH)
    assert merged(Hint(), Hint(all_runs=True)).all_runs
    at_most = merged(Hint(runs=frozenset(runs[:1])), Hint(runs=frozenset(runs[1:-1])))
    assert (len(at_most.runs), at_most.all_runs) == (RUNS_NAMED_MAX, False)
    too_many = merged(Hint(runs=frozenset(runs[:1])), Hint(runs=frozenset(runs[1:])))
    assert (len(too_many.runs), too_many.all_runs) == (0, True)


async def test_a_hint_that_cannot_be_taken_does_not_deafen() -> None:
    transport, taken = MemoryTransport(), asyncio.Queue[Hint]()

    def take(hint: Hint) -> None:
        taken.put_nowait(hint)
        if 1 in hint.routes:
            raise RuntimeError("cannot take this one")

    listener = Listener(transport, take)
    listener.start()
    assert (await taken.get()).all_runs
    for route_id in (1, 2):
        await transport.announce(Hint(routes=frozenset({route_id})))
        assert (await asyncio.wait_for(taken.get(), 20)).routes == {route_id}
    await listener.stop()


async def test_a_listener_whose_transport_broke_looks_at_everything() -> None:
    taken: asyncio.Queue[Hint] = asyncio.Queue()
    listener = Listener(SlowTransport(), taken.put_nowait)  # each time it ends after one hint
    listener.start()
    hints = [await asyncio.wait_for(taken.get(), 20) for _ in range(4)]
    assert [hint.all_runs for hint in hints] == [True, False, True, False]
    await listener.stop()
