"""A database that fails when a test says so: a real adapter behind a switch."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from stageline_engine.errors import StorageUnavailableError
from stageline_engine.ports import InputRequest, JobInputs, Persistence, UnitOfWork
from stageline_engine.records import ChangeSet


class FaultyPersistence:
    """The Persistence port in front of another one.

    Attributes:
        down: Whether the database is away: no transaction can begin.
        lose_commits: Commits to come, of transactions that write runs, that go through, and whose answer is lost.
        refuse: Says of what a transaction is to write whether the database cannot store it.
        failures: How often any of it happened.
        gate: Those transactions wait here before they commit, while it is closed.
        arrived: Set as soon as one waits there.
    """

    def __init__(self, inner: Persistence) -> None:
        """Starts without a fault."""
        self._inner = inner
        self.down = False
        self.lose_commits = 0
        self.refuse: Callable[[ChangeSet], bool] = lambda changes: False
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        """Begins a transaction of the inner adapter, unless it is down."""
        self._fail_if(self.down)
        async with self._inner.begin() as work:
            yield _FaultyWork(work, self)

    def _fail_if(self, condition: bool) -> None:
        if condition:
            self.failures += 1
            raise StorageUnavailableError("a test took the database away")

    async def _commit(
        self, work: UnitOfWork, changes: ChangeSet, inputs: Sequence[InputRequest]
    ) -> Sequence[JobInputs]:
        if self.refuse(changes):
            self.failures += 1
            raise ValueError("a test says that this cannot be stored")
        writes = changes.runs_inserted or changes.runs_updated or changes.stages_updated
        if writes:
            self.arrived.set()
            await self.gate.wait()
        answers = await work.commit(changes, inputs)
        if writes and self.lose_commits:
            self.lose_commits -= 1
            self._fail_if(True)
        return answers


class _FaultyWork:
    """A transaction whose commit may fail."""

    def __init__(self, inner: UnitOfWork, faults: FaultyPersistence) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commit(self, changes: ChangeSet, inputs: Sequence[InputRequest] = ()) -> Sequence[JobInputs]:
        return await self._faults._commit(self._inner, changes, inputs)
