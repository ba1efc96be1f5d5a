"""Writes log lines in batches. Logs are best effort: they never hold up work, and lines that cannot be kept are counted."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from uuid import UUID

from stageline_engine.errors import ConcurrentChangeError, StorageUnavailableError
from stageline_engine.ports import LogLine, LogStore
from stageline_server.dispatch.background import Background

_log = logging.getLogger(__name__)

WAITING_LINES_MAX = 50_000
"""Lines kept in memory while the database is slow or away."""

LINES_PER_WRITE_MAX = 2_000
"""Lines in one write."""

RETRY_PAUSE_SECONDS = 1.0
"""Wait before lines are written again when the database is away."""


class LogWriter(Background):
    """One task that stores lines in their order."""

    def __init__(self, store: LogStore, stored: Callable[[Collection[UUID]], None] = lambda _: None) -> None:
        """Takes where to store them, and what is told of which runs there are new ones."""
        super().__init__("log-writer")
        self._stored = stored
        self._store = store
        self._waiting: list[LogLine] = []
        self._size = LINES_PER_WRITE_MAX
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, lines: Sequence[LogLine]) -> None:
        """Takes lines; beyond ``WAITING_LINES_MAX`` they are dropped, and the server's own log says how many."""
        room = WAITING_LINES_MAX - len(self._waiting)
        if len(lines) > room:
            _log.warning(
                "%d log lines of stages were dropped: the database does not keep up", len(lines) - room
            )
        self._waiting.extend(lines[:room])
        self._idle.clear()
        self._arrived.set()

    async def flushed(self) -> None:
        """Waits until every line has been stored."""
        await self._idle.wait()

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._idle.set()
                self._arrived.clear()
                await self._arrived.wait()
            await self._write(self._waiting[: self._size])

    async def _write(self, lines: Sequence[LogLine]) -> None:
        """Stores lines, or finds the one among them that cannot be stored and drops it."""
        try:
            await self._store.append(lines)
        except (StorageUnavailableError, ConcurrentChangeError):
            _log.warning("log lines could not be stored; trying again", exc_info=True)
            await asyncio.sleep(RETRY_PAUSE_SECONDS)
            return
        except Exception:  # noqa: BLE001 - logged; one bad line must not hold up those of all other stages
            if len(lines) > 1:
                self._size = len(lines) // 2
                return
            _log.exception("a log line of run %s could not be stored and is dropped", lines[0].run_id)
        del self._waiting[: len(lines)]
        self._stored({line.run_id for line in lines})
        self._size = LINES_PER_WRITE_MAX
