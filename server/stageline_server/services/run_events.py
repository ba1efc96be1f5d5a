"""The log of one run as a stream: what is there, then what comes."""

from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from uuid import UUID

import orjson

from stageline_engine.handlers.runs import run_not_found
from stageline_engine.model.run import RunState
from stageline_engine.ports import RunQueries
from stageline_engine.records import EventRow
from stageline_server.dispatch.hub import WatchHub
from stageline_server.errors import RefusedError
from stageline_server.mapping.fields import out_of_range
from stageline_server.shutdown import Shutdown

EVENTS_PER_READ = 500
"""Events in memory at a time for one watcher, however long the log and however slow the reader."""

RECHECK_INTERVAL = timedelta(seconds=30)
"""The net under lost hints: a watcher looks this often without one."""


class RunLog:
    """Reads the log of one run."""

    def __init__(self, queries: RunQueries, namespace: str, run_id: UUID) -> None:
        """Names the run; nothing is read yet."""
        self._queries = queries
        self._namespace = namespace
        self._run_id = run_id
        self.workflow_name = ""

    async def open(self, after_sequence: int) -> None:
        """Finds the run, and the name of its workflow in the first event.

        Raises:
            RefusedError: There is no such run (RUN_NOT_FOUND), or no such event yet (INVALID_FIELD).
        """
        events, _ = await self.read(0, 1)
        self.workflow_name = orjson.loads(events[0].payload)["workflow_name"] if events else ""
        if after_sequence < 0:
            raise out_of_range("after_sequence", "0 or more", after_sequence)
        if after_sequence > 0:
            found, _ = await self.read(after_sequence - 1, 1)
            if not found:
                raise out_of_range("after_sequence", "the sequence of an event of the run", after_sequence)

    async def read(self, after_sequence: int, limit: int) -> tuple[Sequence[EventRow], RunState]:
        """Returns events after a sequence, and the run's state at the same moment.

        Raises:
            RefusedError: There is no such run. RUN_NOT_FOUND.
        """
        found = await self._queries.list_events(
            self._namespace, self._run_id, after_sequence=after_sequence, limit=limit
        )
        if found is None:
            raise RefusedError(run_not_found(self._namespace, str(self._run_id)))
        return found

    async def follow(
        self, after_sequence: int, hub: WatchHub[UUID], shutdown: Shutdown
    ) -> AsyncGenerator[EventRow, None]:
        """Yields events from a sequence on, live, until the last one of a run that has ended.

        Raises:
            RefusedError: There is no such run any more, or the server drains.
        """
        with hub.watch(self._run_id) as watch:
            while True:
                events, state = await self.read(after_sequence, EVENTS_PER_READ)
                for event in events:
                    yield event
                    after_sequence = event.sequence
                if len(events) == EVENTS_PER_READ:
                    continue
                if state.terminal:
                    return
                shutdown.check()
                await shutdown.first(watch.changed(), RECHECK_INTERVAL)
