"""The stores over one state, and how a transaction on it begins."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stageline_engine.adapters.memory.blob_index import MemoryBlobIndex
from stageline_engine.adapters.memory.logs import MemoryLogStore
from stageline_engine.adapters.memory.queries import MemoryRunQueries
from stageline_engine.adapters.memory.registry import MemoryWorkflowRegistry
from stageline_engine.adapters.memory.sessions import MemorySessionStore
from stageline_engine.adapters.memory.state import MemoryState
from stageline_engine.adapters.memory.tokens import MemoryTokenStore
from stageline_engine.adapters.memory.transport import MemoryTransport
from stageline_engine.adapters.memory.unit_of_work import MemoryUnitOfWork
from stageline_engine.adapters.memory.usage import MemoryUsage


class MemoryPersistence:
    """The Persistence port: transactions with locks, isolation and roll-back."""

    def __init__(self, state: MemoryState) -> None:
        """Takes the state that all its transactions share."""
        self._state = state

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryUnitOfWork]:
        """Begins a transaction; leaving the context without ``commit`` rolls back."""
        work = MemoryUnitOfWork(self._state)
        try:
            yield work
        finally:
            work.release()


class MemoryStore:
    """One deployment's state in memory. Nothing outlives the process; everything is used from one event loop.

    Attributes:
        persistence: The transactional state.
        registry: Stored definitions.
        queries: Reading.
        logs: Log lines.
        sessions: Worker sessions.
        tokens: Access tokens.
        blob_index: Which stored bytes there are.
        usage: Booked AI calls.
        transport: Hints, among all servers that share this store.
    """

    def __init__(self) -> None:
        """Starts empty."""
        state = MemoryState()
        self.persistence = MemoryPersistence(state)
        self.registry = MemoryWorkflowRegistry(state)
        self.queries = MemoryRunQueries(state)
        self.logs = MemoryLogStore(state)
        self.sessions = MemorySessionStore(state)
        self.tokens = MemoryTokenStore(state)
        self.blob_index = MemoryBlobIndex(state)
        self.usage = MemoryUsage(state)
        self.transport = MemoryTransport()
