"""The connections to one database, in two pools.

Transactions of the kernel have a pool of their own: a handler may look up a definition in the middle of its transaction,
and would wait for itself if both drew on the same few connections.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import AsyncRawCursor
from psycopg.types.string import TextBinaryLoader, TextLoader
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from stageline_engine.adapters.postgres import arrays
from stageline_engine.adapters.postgres.errors import translate, translated
from stageline_engine.adapters.postgres.statements.settings import CONFIGURE
from stageline_engine.adapters.postgres.wire import WireConnection
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.ports import PoolUse

Connection = WireConnection
Pool = AsyncConnectionPool[WireConnection]

_POOL_ERRORS = (PoolTimeout, PoolClosed, TooManyRequests)

RECONNECT_LIMIT = timedelta(seconds=2)
"""How long one attempt to replace a lost connection goes on. Short: whoever asks next starts another one at once."""


class PostgresDatabase:
    """The pools. Open it before use and close it at the end, or use it as an async context manager."""

    def __init__(
        self,
        dsn: str,
        *,
        transactions_max: int = 4,
        reads_max: int = 4,
        connection_wait: timedelta = timedelta(seconds=5),
        application_name: str = "stageline",
    ) -> None:
        """Describes the connections; none is made yet.

        Args:
            dsn: A ``postgresql://`` URL or libpq connection string. PostgreSQL 14 or later, and no pooler in between
                that shares connections between transactions: statements are prepared.
            transactions_max: Connections for the kernel's transactions. Batches grow while all are busy, so a few are
                enough: about as many as the database has cores.
            reads_max: Connections for everything else; one more is made to listen.
            connection_wait: How long to wait for a free connection, and for a new one to be made.
            application_name: What the database's administrator sees.
        """
        self.dsn = dsn.replace("postgresql+psycopg://", "postgresql://", 1)
        self._settings: dict[str, Any] = {
            "autocommit": True,
            "prepare_threshold": 0,
            "cursor_factory": AsyncRawCursor,
            "application_name": application_name,
            "connect_timeout": max(2, round(connection_wait.total_seconds())),
        }
        self._transactions = self._pool(transactions_max, connection_wait)
        self._reads = self._pool(reads_max, connection_wait)
        self._checking: asyncio.Task[None] | None = None

    def _pool(self, size_max: int, wait: timedelta) -> Pool:
        return AsyncConnectionPool(
            self.dsn,
            connection_class=WireConnection,
            kwargs=self._settings,
            min_size=1,
            max_size=size_max,
            timeout=wait.total_seconds(),
            reconnect_timeout=RECONNECT_LIMIT.total_seconds(),
            configure=_configure,
            open=False,
        )

    async def open(self) -> None:
        """Makes the first connections.

        Raises:
            StorageUnavailableError: The database cannot be reached.
        """
        with translated():
            await self.connect_once()
            await self._transactions.open(wait=True)
            await self._reads.open(wait=True)

    async def close(self) -> None:
        """Closes every connection; work in flight is waited for."""
        if self._checking is not None:
            await self._checking
        await self._transactions.close()
        await self._reads.close()

    async def __aenter__(self) -> "PostgresDatabase":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def pools(self) -> dict[str, PoolUse]:
        """Returns how busy the pools are, by what they are for."""
        named = {"transactions": self._transactions, "reads": self._reads}
        return {name: _use(pool.get_stats()) for name, pool in named.items()}

    async def connect_once(self) -> None:
        """Connects and disconnects, so that a wrong address is told at once and with its reason."""
        connection = await self.connect()
        await connection.close()

    async def connect(self) -> Connection:
        """Makes a connection outside the pools; the caller closes it."""
        connection = await WireConnection.connect(self.dsn, **self._settings)
        try:
            await _configure(connection)
        except BaseException:  # also a cancellation: nobody else knows of the connection yet
            await connection.close()
            raise
        return connection

    @asynccontextmanager
    async def transaction_connection(self) -> AsyncIterator[Connection]:
        """Lends a connection for one of the kernel's transactions."""
        async with self._lent(self._transactions) as connection:
            yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lends a connection for everything else."""
        async with self._lent(self._reads) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lends a connection for everything else, in a transaction that commits at the end of the block."""
        async with self._lent(self._reads) as connection, connection.transaction():
            yield connection

    async def run(self, statement: bytes, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs one statement in a transaction of its own and returns its rows; none where it has none."""
        async with self._lent(self._reads) as connection:
            return await fetch(connection, statement, parameters)

    @asynccontextmanager
    async def _lent(self, pool: Pool) -> AsyncIterator[Connection]:
        """Lends a connection; the driver's errors become the engine's."""
        try:
            connection = await pool.getconn()
            try:
                yield connection
            finally:
                await pool.putconn(connection)
        except StorageUnavailableError:
            self._check_soon()
            raise
        except (psycopg.Error, *_POOL_ERRORS) as error:
            found = translate(error)
            if isinstance(found, StorageUnavailableError):
                self._check_soon()
            raise found from error

    def _check_soon(self) -> None:
        """Has every idle connection tried, in the background: where one is lost, the others may be too."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())

    async def _check(self) -> None:
        for pool in (self._transactions, self._reads):
            if not pool.closed:
                await pool.check()


async def _configure(connection: Connection) -> None:
    """Sets a new connection up: json as text, binary arrays, plans that hold."""
    connection.adapters.register_loader("json", TextLoader)
    connection.adapters.register_loader("json", TextBinaryLoader)
    arrays.register(connection.adapters)
    await connection.execute(CONFIGURE, prepare=False)


async def fetch(
    connection: Connection, statement: bytes, parameters: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """Runs a statement and returns its rows in binary form, decoded; none where it gives none."""
    cursor = connection.cursor(binary=True)
    await cursor.execute(statement, parameters)
    return await cursor.fetchall() if cursor.description else []


def _use(stats: Mapping[str, int]) -> PoolUse:
    idle = stats.get("pool_available", 0)
    return PoolUse(stats.get("pool_size", 0) - idle, idle, stats.get("requests_waiting", 0))
