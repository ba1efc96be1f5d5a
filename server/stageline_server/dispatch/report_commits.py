"""Commits reports, come what may: their workers wait for the acknowledgement, and their runs for what follows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from stageline_engine.commands import Disposition, Failed, JobReportRecorded, ReportJob
from stageline_engine.errors import ConcurrentChangeError, StorageUnavailableError
from stageline_engine.events import StageError
from stageline_server.dispatch.counts import Counts

_log = logging.getLogger(__name__)

RETRY_PAUSE_SECONDS_MIN = 0.05
RETRY_PAUSE_SECONDS_MAX = 2.0
"""Waits before reports that could not be committed are tried again; each is twice the one before."""

UNRECORDABLE = Failed(
    StageError("INTERNAL", "The server could not record what the worker reported; its log says why.")
)
"""Recorded in the place of a report that cannot be: a run that fails is better than one that hangs."""

CommitOnce = Callable[[Sequence[ReportJob]], Awaitable[Sequence[JobReportRecorded]]]


class ReportCommits:
    """Tries until a batch of reports is committed, however long the database is away.

    A commit whose fate is unknown is repeated: reports are idempotent by token.
    """

    def __init__(self, commit_once: CommitOnce, after_outage: Callable[[], None], counts: Counts) -> None:
        """Takes what tries once, what makes up for effects of commits whose answer was lost, and where reports are counted."""
        self._counts = counts
        self._commit_once = commit_once
        self._after_outage = after_outage

    async def commit(self, batch: Sequence[ReportJob]) -> Sequence[JobReportRecorded]:
        """Commits a batch.

        Raises:
            Exception: One of several reports cannot be committed, for a reason of its own: try them in parts.
        """
        pause = RETRY_PAUSE_SECONDS_MIN
        while True:
            try:
                results = await self._commit_once(batch)
            except (StorageUnavailableError, ConcurrentChangeError) as error:
                if isinstance(error, ConcurrentChangeError) and len(batch) > 1:
                    raise
                _log.warning("%d reports could not be committed; trying again", len(batch), exc_info=True)
            except Exception:
                if len(batch) > 1 or batch[0].outcome is UNRECORDABLE:
                    raise
                _log.exception("a report of run %s cannot be recorded: its attempt fails", batch[0].run_id)
                return await self._fail_instead(batch[0])
            else:
                if pause > RETRY_PAUSE_SECONDS_MIN:
                    self._after_outage()
                self._counts.reported(zip(batch, results, strict=True))
                return results
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_PAUSE_SECONDS_MAX)

    async def _fail_instead(self, report: ReportJob) -> Sequence[JobReportRecorded]:
        (result,) = await self.commit([replace(report, outcome=UNRECORDABLE)])
        if result.disposition is Disposition.RECORDED:
            result = replace(result, note=UNRECORDABLE.error.message)
        return [result]
