"""A Persistence whose every call lets others run first, so that transactions interleave as a test wishes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

from stageline_engine.ports import Persistence, UnitOfWork


class InterleavedPersistence:
    """Passes everything on to another Persistence, after so many turns of the event loop."""

    def __init__(self, persistence: Persistence, turns: list[int]) -> None:
        """Takes the turns that each call waits, used over and over."""
        self._persistence = persistence
        self._turns = cycle(turns)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        await yield_turns(self._turns)
        async with self._persistence.begin() as work:
            yield _Interleaved(work, self._turns)  # type: ignore[misc]


class _Interleaved:
    def __init__(self, work: UnitOfWork, turns: Iterator[int]) -> None:
        self._work = work
        self._turns = turns

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._work, name)

        async def later(*args: Any, **kwargs: Any) -> Any:
            await yield_turns(self._turns)
            return await method(*args, **kwargs)

        return later


async def yield_turns(turns: Iterator[int]) -> None:
    """Lets others run."""
    for _ in range(next(turns)):
        await asyncio.sleep(0)
