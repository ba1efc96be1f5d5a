"""One transaction on one connection, with statements sent ahead of their answers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from types import TracebackType
from typing import Any

import psycopg
from psycopg import AsyncCursor
from psycopg.pq import TransactionStatus

from stageline_engine.adapters.postgres.database import Connection
from stageline_engine.adapters.postgres.errors import translated
from stageline_engine.adapters.postgres.statements import settings

Rows = list[tuple[Any, ...]]
Sent = AsyncCursor[tuple[Any, ...]]


class Pipeline:
    """A transaction in libpq's pipeline mode: what is sent together costs one round trip together.

    The connection is taken, and BEGIN sent, with the first statement.
    """

    def __init__(
        self,
        lend: Callable[[], AbstractAsyncContextManager[Connection]],
        resources: AsyncExitStack,
        begin: bytes = settings.BEGIN,
    ) -> None:
        """Begins nothing yet.

        Args:
            lend: Where the connection comes from.
            resources: The stack at whose end the transaction is over and the connection is given back.
            begin: The statement that begins the transaction.
        """
        self._lend = lend
        self._resources = resources
        self._begin_statement = begin
        self._leave = AsyncExitStack()
        self._connection: Connection | None = None

    @property
    def begun(self) -> bool:
        """Whether anything was sent."""
        return self._connection is not None

    async def send(self, statement: bytes, parameters: Sequence[Any] = ()) -> Sent:
        """Sends a statement without waiting for its answer."""
        with translated():
            connection = self._connection or await self._begin()
            cursor: Sent = connection.cursor(binary=True)
            return await cursor.execute(statement, parameters)

    async def rows(self, sent: Sent) -> Rows:
        """Waits for the answers of all that was sent, and returns the rows of one statement."""
        with translated():
            return await sent.fetchall()

    async def fetch(self, statement: bytes, parameters: Sequence[Any] = ()) -> Rows:
        """Sends a statement and waits for its rows."""
        return await self.rows(await self.send(statement, parameters))

    async def commit(self) -> None:
        """Sends COMMIT and waits for the answers of all that was sent.

        A statement that failed has made the server skip what came after it, the COMMIT too.
        """
        await self.send(settings.COMMIT)
        with translated():
            await self._leave.aclose()

    async def _begin(self) -> Connection:
        connection = await self._resources.enter_async_context(self._lend())
        self._resources.push_async_exit(self._end)
        self._connection = connection
        await self._leave.enter_async_context(connection.pipeline())
        await connection.cursor().execute(self._begin_statement)
        return connection

    async def _end(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Gives the connection back idle, or closed."""
        connection = self._connection
        if connection is None:
            return
        if kind is not None and not issubclass(kind, Exception):
            await (
                connection.close()
            )  # cancelled in the middle of something: what is on its way is not worth knowing
        with suppress(psycopg.Error):
            await self._leave.aclose()
        with suppress(psycopg.Error):
            if connection.info.transaction_status is not TransactionStatus.IDLE and not connection.closed:
                await connection.rollback()
