"""Opens the kernel's transactions."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from stageline_engine.adapters.postgres.database import PostgresDatabase
from stageline_engine.adapters.postgres.pipeline import Pipeline
from stageline_engine.adapters.postgres.unit_of_work import PostgresUnitOfWork


class PostgresPersistence:
    """The Persistence port. Safe to use from many tasks at once; each transaction has a connection of its own."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Takes the connections; the database must be open before the first transaction."""
        self._database = database

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[PostgresUnitOfWork]:
        """Begins a transaction; leaving the context without ``commit`` rolls back.

        The database hears of it with the first statement, so that a batch that needs none costs nothing.
        """
        async with AsyncExitStack() as resources:
            yield PostgresUnitOfWork(Pipeline(self._database.transaction_connection, resources))
