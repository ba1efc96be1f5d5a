"""A Persistence that loses its database at the worst moment: when everything is decided and nothing is written."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from stageline_engine.errors import StorageUnavailableError
from stageline_engine.ports import InputRequest, JobInputs, Persistence, UnitOfWork
from stageline_engine.records import ChangeSet


class InterruptiblePersistence:
    """Passes everything on to another Persistence.

    Attributes:
        commits_left: Commits that go through before the next one fails; None for no end.
    """

    def __init__(self, persistence: Persistence) -> None:
        self._persistence = persistence
        self.commits_left: int | None = None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        async with self._persistence.begin() as work:
            yield _Interruptible(work, self)


class _Interruptible:
    """One transaction that may be cut off at its commit."""

    def __init__(self, work: UnitOfWork, persistence: InterruptiblePersistence) -> None:
        self._work = work
        self._persistence = persistence

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

    async def commit(self, changes: ChangeSet, inputs: Sequence[InputRequest] = ()) -> Sequence[JobInputs]:
        left = self._persistence.commits_left
        if left == 0:
            raise StorageUnavailableError("the connection was lost before the commit")
        self._persistence.commits_left = None if left is None else left - 1
        return await self._work.commit(changes, inputs)
