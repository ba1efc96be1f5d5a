"""Carries events from commits to plugins and to readers of the log: woken by commits and hints, or when a try is due."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from stageline_engine.commands import FlushOutbox, OutboxFlushed, SequenceEvents
from stageline_engine.kernel import Kernel
from stageline_engine.ports import Clock, Scheduler
from stageline_engine.rejections import Rejection
from stageline_server.dispatch.hub import Watch
from stageline_server.dispatch.timers import Alarm

RECHECK_INTERVAL = timedelta(seconds=30)
"""The net under lost hints: plugins look this often without one."""


class EventFlow:
    """Flushes to each plugin by a task of its own, and wakes whoever reads the log."""

    def __init__(self, kernel: Kernel, clock: Clock, scheduler: Scheduler, consumers: Iterable[str]) -> None:
        """Takes the kernel, the time, and the names of the consumers that the kernel has sinks for."""
        self._kernel = kernel
        self._clock = clock
        self._scheduler = scheduler
        self._readers: set[Watch] = set()
        self._lock = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self.alarms = {name: self._alarm(name) for name in sorted(consumers)}

    def _alarm(self, consumer: str) -> Alarm:
        async def step() -> datetime:
            flushed = await self.flush(consumer)
            recheck_at = self._clock.now() + RECHECK_INTERVAL
            return min(flushed.next_due_at or recheck_at, recheck_at)

        return Alarm(step, self._clock, self._scheduler, name=f"give events to {consumer}")

    async def flush(self, consumer: str = "") -> OutboxFlushed:
        """Gives due events to one consumer, or to each.

        Raises:
            StorageUnavailableError: The database is away.
        """
        return await self._kernel.dispatch(FlushOutbox(consumer=consumer))

    async def register(self) -> None:
        """Has the consumers told of every event that gets its place in the log from now on.

        Raises:
            StorageUnavailableError: The database is away.
        """
        await self._kernel.keep_consumers()

    def ring(self) -> None:
        """Says that there may be new events."""
        for alarm in self.alarms.values():
            alarm.set_no_later_than(self._clock.now())
        for reader in self._readers:
            reader.ring()

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        """Is told of new events while the context lasts. Begin before the first read, so that nothing falls between."""
        watch = Watch()
        self._readers.add(watch)
        try:
            yield watch
        finally:
            self._readers.discard(watch)

    async def catch_up(self) -> None:
        """Returns when all that was committed before the call has its place in the log.

        Calls that come while another one works share the next transaction.

        Raises:
            StorageUnavailableError: The database is away.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._sequence(), name="sequence events")
        await asyncio.shield(self._next)

    async def _sequence(self) -> None:
        async with self._lock:
            self._next = None  # who calls from here on may have committed too late for this transaction
            command = SequenceEvents()
            done = command.limit
            while done == command.limit:
                result = await self._kernel.dispatch(command)
                assert not isinstance(result, Rejection)
                done = result.commits
