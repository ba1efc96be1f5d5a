"""A Persistence that loses its database at the worst moments, and lets others in between any two statements."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from itertools import cycle
from typing import Any

from stageline_engine.errors import StorageUnavailableError
from stageline_engine.ports import InputRequest, JobInputs, Persistence, UnitOfWork
from stageline_engine.records import ChangeSet


class Loss(Enum):
    """When the database goes: everything is decided and nothing written, or all is written and nobody told."""

    BEFORE_COMMIT = "before"
    AFTER_COMMIT = "after"


class UnreliablePersistence:
    """Passes everything on to another Persistence.

    Attributes:
        loss: How the next transaction whose turn it is ends; None while all is well.
        commits_left: Commits that go through before that one.
    """

    def __init__(self, persistence: Persistence) -> None:
        """Takes what is reliable."""
        self._persistence = persistence
        self._turns: Iterator[int] | None = None
        self.loss: Loss | None = None
        self.commits_left = 0

    def interleave(self, turns: Sequence[int]) -> None:
        """Has each call wait so many turns of the event loop, over and over; none at all for an empty sequence."""
        self._turns = cycle(turns) if turns else None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        """Begins a transaction of the other Persistence."""
        await self.let_others_run()
        async with self._persistence.begin() as work:
            yield _Unreliable(work, self)  # type: ignore[misc]  # what it lacks it passes on

    async def let_others_run(self) -> None:
        """Waits for its turn."""
        for _ in range(next(self._turns) if self._turns else 0):
            await asyncio.sleep(0)

    def next_loss(self) -> Loss | None:
        """How the transaction that commits now ends."""
        if self.loss is None or self.commits_left > 0:
            self.commits_left -= 1
            return None
        return self.loss


class _Unreliable:
    """One transaction that may be cut off at its commit."""

    def __init__(self, work: UnitOfWork, persistence: UnreliablePersistence) -> None:
        self._work = work
        self._persistence = persistence

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._work, name)

        async def later(*args: Any, **kwargs: Any) -> Any:
            await self._persistence.let_others_run()
            return await method(*args, **kwargs)

        return later

    async def commit(self, changes: ChangeSet, inputs: Sequence[InputRequest] = ()) -> Sequence[JobInputs]:
        await self._persistence.let_others_run()
        loss = self._persistence.next_loss()
        if loss is Loss.BEFORE_COMMIT:
            raise StorageUnavailableError("the connection was lost before the commit")
        inputs_read = await self._work.commit(changes, inputs)
        if loss is Loss.AFTER_COMMIT:
            raise StorageUnavailableError("the connection was lost after the commit")
        return inputs_read
