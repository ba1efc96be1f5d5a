"""Reports with large payloads: looked at by themselves, so that no other report waits for theirs."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from stageline_engine.commands import ReportJob
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.payload_store import PayloadStore
from stageline_server.dispatch.report_commits import (
    RETRY_PAUSE_SECONDS_MAX,
    RETRY_PAUSE_SECONDS_MIN,
    UNRECORDABLE,
)

_log = logging.getLogger(__name__)


class LargeReports:
    """Has payloads stored or found, and held to their schemas, before their reports join a batch."""

    def __init__(self, payloads: PayloadStore) -> None:
        """Takes the store of large payloads."""
        self._payloads = payloads
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether no report is being looked at."""
        return not self._tasks

    def take(self, report: ReportJob, submit: Callable[[ReportJob], None]) -> None:
        """Looks at a report's payload in the background, however long the store is away.

        Args:
            report: The report.
            submit: Called with the report as it can be committed. Not called where the server stops before.
        """
        task = asyncio.create_task(self._settle(report, submit), name="look at a large payload")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def flushed(self) -> None:
        """Waits until every report that was taken has been handed on."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Ends all work. Workers keep what is not acknowledged, and send it again."""
        for task in self._tasks:
            task.cancel()
        await self.flushed()

    async def _settle(self, report: ReportJob, submit: Callable[[ReportJob], None]) -> None:
        pause = RETRY_PAUSE_SECONDS_MIN
        while True:
            try:
                settled = await self._payloads.settle(report)
            except StorageUnavailableError:
                _log.warning("a large payload could not be looked at; trying again", exc_info=True)
            except Exception:  # noqa: BLE001 - a run that fails is better than one that hangs
                _log.exception(
                    "a large payload of run %s cannot be recorded: its attempt fails", report.run_id
                )
                settled = replace(report, outcome=UNRECORDABLE)
                return submit(settled)
            else:
                return submit(settled)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_PAUSE_SECONDS_MAX)
