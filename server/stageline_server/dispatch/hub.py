"""Wakes whoever watches a run. A wake-up is a hint: the watcher reads the log again from where it was."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID


class Watch:
    """One watcher's bell."""

    def __init__(self) -> None:
        """Starts silent."""
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Says that there may be something new."""
        self._event.set()

    async def changed(self) -> None:
        """Waits for the bell, and silences it. One that rang before the call returns at once."""
        await self._event.wait()
        self._event.clear()


class WatchHub:
    """All watchers of this server by run."""

    def __init__(self) -> None:
        """Starts with nobody watching."""
        self._watches: dict[UUID, set[Watch]] = {}

    @contextmanager
    def watch(self, run_id: UUID) -> Iterator[Watch]:
        """Watches a run while the context lasts. Begin before the first read, so that nothing falls between."""
        watch = Watch()
        self._watches.setdefault(run_id, set()).add(watch)
        try:
            yield watch
        finally:
            watches = self._watches[run_id]
            watches.discard(watch)
            if not watches:
                del self._watches[run_id]

    def ring(self, run_ids: Iterable[UUID]) -> None:
        """Wakes the watchers of these runs."""
        if self._watches:
            for run_id in run_ids:
                for watch in self._watches.get(run_id, ()):
                    watch.ring()

    def ring_all(self) -> None:
        """Wakes every watcher."""
        for watches in self._watches.values():
            for watch in watches:
                watch.ring()
