"""Hints by NOTIFY. They are sent apart from the transactions that they tell of, whose commits would queue behind them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import psycopg

from stageline_engine.adapters.postgres import hints
from stageline_engine.adapters.postgres.arrays import array
from stageline_engine.adapters.postgres.database import Connection, PostgresDatabase
from stageline_engine.adapters.postgres.statements import settings
from stageline_engine.ports import LOOK_AT_EVERYTHING, Hint

CHANNEL = "stageline_hints"
"""As in ``LISTEN``."""

QUIET_MAX = timedelta(seconds=20)
"""Silence after which the listening connection is tried: one that died without a word would be listened to for ever."""

ANSWER_LIMIT = timedelta(seconds=5)
"""How long the connection may take to say that it lives."""

RECONNECT_PAUSE_MIN = timedelta(milliseconds=100)
RECONNECT_PAUSE_MAX = timedelta(seconds=2)
"""Pauses between tries to connect again; each is twice the one before."""

logger = logging.getLogger(__name__)


class PostgresTransport:
    """The JobTransport port. Every call of ``listen`` has a connection of its own."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Takes the connections."""
        self._database = database

    async def announce(self, hint: Hint) -> None:
        """Sends a hint to every listener."""
        await self._database.run(settings.NOTIFY, (CHANNEL, array("text", hints.encode(hint))))

    async def listen(self) -> AsyncIterator[Hint]:
        """Yields hints as they come, and ``LOOK_AT_EVERYTHING`` when it listens again after a broken connection."""
        lost = False
        pause = RECONNECT_PAUSE_MIN
        while True:
            try:
                async with await self._database.connect() as connection:
                    await connection.execute(settings.LISTEN)
                    pause = RECONNECT_PAUSE_MIN
                    if lost:
                        yield LOOK_AT_EVERYTHING
                    async with aclosing(_hints(connection)) as heard:
                        async for hint in heard:
                            yield hint
            except (psycopg.Error, OSError, TimeoutError) as error:
                logger.warning("the connection that listens for hints is lost: %s", error)
                lost = True
            await asyncio.sleep(pause.total_seconds())
            pause = min(pause * 2, RECONNECT_PAUSE_MAX)


async def _hints(connection: Connection) -> AsyncGenerator[Hint, None]:
    """Yields hints until the connection breaks."""
    while True:
        async for notification in connection.notifies(timeout=QUIET_MAX.total_seconds()):
            yield hints.decode(notification.payload)
        async with asyncio.timeout(ANSWER_LIMIT.total_seconds()):
            await connection.execute(settings.PING)
