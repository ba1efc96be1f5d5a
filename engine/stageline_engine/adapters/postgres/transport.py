"""Hints by NOTIFY. They are sent apart from the transactions that they tell of, whose commits would queue behind them."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from datetime import timedelta

import psycopg

from stageline_engine.adapters.postgres import hints
from stageline_engine.adapters.postgres.arrays import array
from stageline_engine.adapters.postgres.company import GREETED_EVERY, UNKNOWN_FOR, Company, is_greeting
from stageline_engine.adapters.postgres.database import Connection, PostgresDatabase
from stageline_engine.adapters.postgres.statements import settings
from stageline_engine.errors import EngineError
from stageline_engine.ports import LOOK_AT_EVERYTHING, Hint

CHANNEL = "stageline_hints"
"""As in ``LISTEN``."""

ANSWER_LIMIT = timedelta(seconds=5)
"""How long the connection may take to say that it lives."""

RECONNECT_PAUSE_MIN = timedelta(milliseconds=100)
RECONNECT_PAUSE_MAX = timedelta(seconds=2)
"""Pauses between tries to connect again; each is twice the one before."""

logger = logging.getLogger(__name__)


class PostgresTransport:
    """The JobTransport port. Every call of ``listen`` has a connection of its own."""

    def __init__(self, database: PostgresDatabase, *, company_unknown_for: timedelta = UNKNOWN_FOR) -> None:
        """Takes the connections.

        Args:
            database: The connections.
            company_unknown_for: How long after ``listen`` others are taken to be there although none was heard.
        """
        self._database = database
        self._company = Company(time.monotonic, company_unknown_for)

    @property
    def has_company(self) -> bool:
        """Whether others may listen; also where this process does not, and so cannot know."""
        return self._company.is_there

    async def announce(self, hint: Hint) -> None:
        """Sends a hint to every listener."""
        await self._say(*hints.encode(hint))

    async def listen(self) -> AsyncIterator[Hint]:
        """Yields hints as they come, and ``LOOK_AT_EVERYTHING`` when it listens again after a broken connection."""
        lost = False
        pause = RECONNECT_PAUSE_MIN
        while True:
            try:
                async with await self._database.connect() as connection:
                    await connection.execute(settings.LISTEN)
                    self._company.listening_began()
                    await self._greet(connection, asks=True)
                    pause = RECONNECT_PAUSE_MIN
                    if lost:
                        yield LOOK_AT_EVERYTHING
                    async with aclosing(self._heard(connection)) as heard:
                        async for hint in heard:
                            yield hint
            except (psycopg.Error, OSError, TimeoutError) as error:
                logger.warning("the connection that listens for hints is lost: %s", error)
                lost = True
            finally:
                self._company.listening_ended()
            await asyncio.sleep(pause.total_seconds())
            pause = min(pause * 2, RECONNECT_PAUSE_MAX)

    async def _heard(self, connection: Connection) -> AsyncGenerator[Hint, None]:
        """Yields hints until the connection breaks."""
        while True:
            async for notification in connection.notifies(timeout=GREETED_EVERY.total_seconds()):
                if self._company.heard(notification.payload):
                    with suppress(EngineError):  # it hears of this server with the next greeting
                        await self._say(self._company.greeting())
                if not is_greeting(notification.payload):
                    yield hints.decode(notification.payload)
            await self._greet(connection)

    async def _greet(self, connection: Connection, *, asks: bool = False) -> None:
        """Tells the others that this server listens, and tries the connection: a dead one may not say a word."""
        greeting = self._company.greeting(asks=asks)
        async with asyncio.timeout(ANSWER_LIMIT.total_seconds()):
            await connection.execute(settings.NOTIFY, (CHANNEL, array("text", [greeting])))

    async def _say(self, *texts: str) -> None:
        await self._database.run(settings.NOTIFY, (CHANNEL, array("text", texts)))
