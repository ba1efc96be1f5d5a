"""One transaction on one connection, with statements sent ahead of their answers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from types import TracebackType
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from stageline_engine.adapters.postgres.errors import translated
from stageline_engine.adapters.postgres.statements import settings
from stageline_engine.adapters.postgres.wire import Rows, Sent, Wire, WireConnection


class Pipeline:
    """A transaction in libpq's pipeline mode: what is sent together costs one round trip together.

    The connection is taken, and BEGIN sent, with the first statement.
    """

    def __init__(
        self,
        lend: Callable[[], AbstractAsyncContextManager[WireConnection]],
        resources: AsyncExitStack,
    ) -> None:
        """Begins nothing yet.

        Args:
            lend: Where the connection comes from.
            resources: The stack at whose end the transaction is over and the connection is given back.
        """
        self._lend = lend
        self._resources = resources
        self._connection: WireConnection | None = None
        self._wire: Wire | None = None

    @property
    def begun(self) -> bool:
        """Whether there is a transaction."""
        return self._wire is not None

    async def send(self, statement: bytes, parameters: Sequence[Any] = ()) -> Sent:
        """Puts a statement into the next round trip."""
        with translated():
            wire = self._wire or await self._begin()
            return wire.send(statement, parameters)

    async def rows(self, sent: Sent) -> Rows:
        """Returns the rows of a statement; where it is not answered yet, waits for all that was sent."""
        if sent.rows is None and self._wire is not None:
            with translated():
                await self._wire.exchange()
        return sent.rows or []

    async def fetch(self, statement: bytes, parameters: Sequence[Any] = ()) -> Rows:
        """Sends a statement and waits for its rows."""
        return await self.rows(await self.send(statement, parameters))

    async def commit(self) -> None:
        """Sends COMMIT and waits for the answers of all that was sent.

        A statement that failed has made the server skip what came after it, the COMMIT too.
        """
        await self.send(settings.COMMIT)
        if self._wire is not None:
            with translated():
                await self._wire.exchange(last=True)

    async def _begin(self) -> Wire:
        self._connection = await self._resources.enter_async_context(self._lend())
        self._resources.push_async_exit(self._end)
        self._wire = Wire(self._connection)
        self._wire.send(settings.BEGIN)
        return self._wire

    async def _end(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Gives the connection back idle, or closed."""
        connection, wire = self._connection, self._wire
        if connection is None or wire is None:
            return
        if kind is not None and not issubclass(kind, Exception):
            await (
                connection.close()
            )  # cancelled in the middle of something: what is on its way is not worth knowing
            return
        with suppress(psycopg.Error):
            await wire.leave()
            if connection.info.transaction_status is not TransactionStatus.IDLE:
                await _roll_back(connection)
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            await connection.close()


async def _roll_back(connection: WireConnection) -> None:
    wire = Wire(connection)
    wire.send(settings.ROLLBACK)
    await wire.exchange(last=True)
