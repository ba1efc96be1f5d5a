"""Wakes whoever watches a run, or a queue. A wake-up is a hint: the watcher looks again, from where it was."""

import asyncio
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


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


class WatchHub(Generic[Key]):
    """All watchers of this server by what they watch: runs by id, queues by route."""

    def __init__(self) -> None:
        """Starts with nobody watching."""
        self._watches: dict[Key, set[Watch]] = {}

    @contextmanager
    def watch(self, *keys: Key) -> Iterator[Watch]:
        """Watches while the context lasts. Begin before the first look, so that nothing falls between."""
        watch = Watch()
        for key in keys:
            self._watches.setdefault(key, set()).add(watch)
        try:
            yield watch
        finally:
            for key in keys:
                self._watches[key].discard(watch)
                if not self._watches[key]:
                    del self._watches[key]

    def ring(self, keys: Iterable[Key]) -> None:
        """Wakes the watchers of these."""
        if self._watches:
            for key in keys:
                for watch in self._watches.get(key, ()):
                    watch.ring()

    def ring_all(self) -> None:
        """Wakes every watcher."""
        for watches in self._watches.values():
            for watch in watches:
                watch.ring()
