"""Hints among the servers of one process."""

import asyncio
from collections.abc import AsyncIterator

from stageline_engine.ports import Hint

RUNS_NAMED_MAX = 1000
"""Runs that a waiting hint names; with more, watchers of any run should look."""


class MemoryTransport:
    """The JobTransport port. Hints that a listener has not fetched are merged, so that a slow one costs no memory."""

    def __init__(self) -> None:
        """Starts with no listener."""
        self._listeners: set[_Listener] = set()

    @property
    def has_company(self) -> bool:
        """Whether there are several listeners."""
        return len(self._listeners) > 1

    async def announce(self, hint: Hint) -> None:
        """Sends a hint to every listener."""
        for listener in self._listeners:
            listener.put(hint)

    async def listen(self) -> AsyncIterator[Hint]:
        """Yields hints as they come, from the first request on."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while True:
                yield await listener.take()
        finally:
            self._listeners.discard(listener)


class _Listener:
    """One hint that waits, and the signal that it does."""

    def __init__(self) -> None:
        self._waiting: Hint | None = None
        self._arrived = asyncio.Event()

    def put(self, hint: Hint) -> None:
        self._waiting = merged(self._waiting, hint) if self._waiting else hint
        self._arrived.set()

    async def take(self) -> Hint:
        await self._arrived.wait()
        self._arrived.clear()
        hint, self._waiting = self._waiting or Hint(), None
        return hint


def merged(first: Hint, second: Hint) -> Hint:
    """Returns one hint that says what two say."""
    runs = first.runs | second.runs
    too_many = len(runs) > RUNS_NAMED_MAX
    times = [time for time in (first.wake_at, second.wake_at) if time is not None]
    return Hint(
        routes=first.routes | second.routes,
        runs=frozenset() if too_many else runs,
        stopped=tuple(dict.fromkeys(first.stopped + second.stopped)),
        wake_at=min(times, default=None),
        all_runs=first.all_runs or second.all_runs or too_many,
        revoked_tokens=first.revoked_tokens | second.revoked_tokens,
        all_tokens=first.all_tokens or second.all_tokens,
    )
