"""Commits AI calls of workers, however long the database is away: what was spent must not be forgotten."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from stageline_engine.commands import AiCallRecorded, RecordAiCall
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.rejections import Rejection
from stageline_server.dispatch.report_commits import RETRY_PAUSE_SECONDS_MAX, RETRY_PAUSE_SECONDS_MIN

_log = logging.getLogger(__name__)

Answers = Sequence[AiCallRecorded | Rejection]
CommitOnce = Callable[[Sequence[RecordAiCall]], Awaitable[Answers]]


class UsageCommits:
    """Tries until a batch is committed. A commit whose fate is unknown is repeated: calls are booked once by their ids."""

    def __init__(self, commit_once: CommitOnce) -> None:
        """Takes what tries once."""
        self._commit_once = commit_once

    async def commit(self, batch: Sequence[RecordAiCall]) -> Answers:
        """Commits a batch.

        Raises:
            Exception: One of them cannot be booked, for a reason of its own: try them in parts.
        """
        pause = RETRY_PAUSE_SECONDS_MIN
        while True:
            try:
                return await self._commit_once(batch)
            except StorageUnavailableError:
                _log.warning("%d AI calls could not be booked; trying again", len(batch), exc_info=True)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_PAUSE_SECONDS_MAX)
