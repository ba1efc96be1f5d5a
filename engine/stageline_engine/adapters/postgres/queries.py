"""Reading runs, their stages and their events, as last committed."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.numeric import Int4, Int8

from stageline_engine.adapters.postgres import rows
from stageline_engine.adapters.postgres.arrays import array
from stageline_engine.adapters.postgres.database import PostgresDatabase
from stageline_engine.adapters.postgres.statements import (
    annotations,
    event_log,
    outbox,
    runs,
    settings,
)
from stageline_engine.adapters.postgres.statements.submissions import SUBMISSIONS_OF_RUN
from stageline_engine.adapters.postgres.statements.usage import SUM_OF_RUN
from stageline_engine.model.run import RunState
from stageline_engine.ports import (
    ENTRY_READ,
    AnnotationFilter,
    DeadLetter,
    DeadLetterKey,
    DueCheck,
    LogCursor,
    LoggedEvent,
    LogPage,
    RunDetails,
    RunFilter,
    RunPage,
    StageDetails,
    Statistics,
    Workload,
)
from stageline_engine.records import AnnotationRecord, EventRow, EventSource, RunPayload

_BEFORE_ALL = UUID(int=0)


class PostgresQueries:
    """The RunQueries port. See there for what each method promises."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Takes the connections."""
        self._database = database

    async def get_run(self, namespace: str, run_id: UUID, *, with_outputs: bool) -> RunDetails | None:
        """Returns a run with its stages, both as of one moment, or None."""
        async with self._database.connection() as connection, connection.pipeline():
            await connection.execute(settings.BEGIN_SNAPSHOT)
            run = await connection.cursor(binary=True).execute(runs.GET_RUN, (run_id, namespace))
            stages = await connection.cursor(binary=True).execute(runs.GET_STAGES, (run_id, with_outputs))
            usage = await connection.cursor(binary=True).execute(SUM_OF_RUN, (run_id,))
            submitted = await connection.cursor(binary=True).execute(SUBMISSIONS_OF_RUN, (run_id,))
            await connection.execute(settings.COMMIT)
            found = await run.fetchall()
            details = [_stage_details(values) for values in await stages.fetchall()] if found else []
            (sums,) = await usage.fetchall()
            submissions = [rows.submission_row(values) for values in await submitted.fetchall()]
        if not found:
            return None
        values, (input_, config, labels) = found[0][: rows.RUN_WIDTH], found[0][rows.RUN_WIDTH :]
        return RunDetails(
            rows.run_row(values),
            RunPayload(run_id, input_, config, labels),
            details,
            rows.usage_sum(sums, dimensions=0),
            submissions,
        )

    async def list_runs(self, which: RunFilter, *, before: UUID | None = None, limit: int) -> RunPage:
        """Returns runs, the newest first, older than ``before``."""
        filters = _filters(which, before)
        statement = runs.list_runs(tuple(filters))
        async with self._database.connection() as connection, connection.pipeline():
            await connection.execute(settings.BEGIN_SNAPSHOT)
            await connection.execute(settings.PLAN_FOR_VALUES)
            given = (which.namespace, Int4(limit + 1), *filters.values())
            answer = await connection.cursor(binary=True).execute(statement, given)
            await connection.execute(settings.COMMIT)
            found = await answer.fetchall()
        page = [rows.run_row(values) for *values, _ in found[:limit]]
        labels = {run.id: values[-1] for run, values in zip(page, found, strict=False)}
        return RunPage(page, page[-1].id if page and len(found) > limit else None, labels)

    async def list_events(
        self, namespace: str, run_id: UUID, *, after_sequence: int, limit: int
    ) -> tuple[Sequence[EventRow], RunState] | None:
        """Returns a run's events after a sequence and its state, both as of one moment."""
        given = (run_id, namespace, Int8(after_sequence), Int4(limit))
        found = await self._database.run(runs.LIST_EVENTS, given)
        if not found:
            return None
        events = [rows.event_row(values) for _, *values in found if values[0] is not None]
        return events, RunState(found[0][0])

    async def list_annotations(
        self, namespace: str, run_id: UUID, which: AnnotationFilter, *, after_id: str = "", limit: int
    ) -> Sequence[AnnotationRecord]:
        """Returns a run's annotations in the order of their making."""
        filters = _annotation_filters(which)
        if any("\0" in value for value in filters.values() if isinstance(value, str)):
            return ()  # PostgreSQL cannot hold it, so nothing can match
        after_id = "" if "\0" in after_id else after_id
        statement = annotations.list_annotations(tuple(filters), after=bool(after_id))
        after = (after_id,) if after_id else ()
        given = (namespace, run_id, Int4(limit), *after, *filters.values())
        return [rows.annotation_record(values) for values in await self._database.run(statement, given)]

    async def list_dead_letters(
        self,
        namespace: str,
        *,
        consumer: str = "",
        run_id: UUID | None = None,
        after: DeadLetterKey | None = None,
        limit: int,
    ) -> Sequence[DeadLetter]:
        """Returns dead-lettered events, by run and consumer."""
        after_run, after_consumer, _ = after or (_BEFORE_ALL, "", 0)
        given = (namespace, after_run, after_consumer, consumer, run_id, Int4(limit))
        return [
            DeadLetter(
                name, EventSource(event[0], space, workflow), rows.event_row(event), tries, error, dead_at
            )
            for name, space, workflow, tries, error, dead_at, *event in await self._database.run(
                outbox.LIST_DEAD_LETTERS, given
            )
        ]

    async def read_log(self, namespace: str, cursor: LogCursor, limit: int) -> LogPage:
        """Returns events of a namespace that come after a place in the log."""
        given = (namespace, Int8(cursor.position), Int8(cursor.sequence), Int4(limit))
        found = await self._database.run(event_log.READ_LOG, given)
        events = [
            LoggedEvent(EventSource(event[0], space, workflow), rows.event_row(event), position)
            for position, space, workflow, *event in found
            if event[0] is not None
        ]
        if not found:
            return LogPage([], cursor, more=False)
        position, sequence = found[-1][0], found[-1][4]
        more = len(found) == limit
        return LogPage(events, LogCursor(position, sequence if more and sequence else ENTRY_READ), more)

    async def log_bounds(self) -> tuple[int, int]:
        """Returns the positions of the oldest and the newest entry of the log."""
        ((oldest, newest),) = await self._database.run(event_log.LOG_BOUNDS)
        return oldest, newest

    async def list_due_checks(self, *, limit: int) -> Sequence[DueCheck]:
        """Returns checks of running runs that are ready and not leased, the most urgent first."""
        found = await self._database.run(runs.LIST_DUE_CHECKS, (Int4(limit),))
        return [DueCheck(*values) for values in found]

    async def workload(self) -> Workload:
        """Counts live jobs and dead letters of all namespaces."""
        (counts,) = await self._database.run(runs.COUNT_WORK)
        return Workload(*counts)

    async def statistics(self, namespace: str) -> Statistics:
        """Counts what a namespace holds."""
        (counts,) = await self._database.run(runs.COUNT_NAMESPACE, (namespace,))
        states = await self._database.run(runs.COUNT_RUNS, (namespace,))
        by_state = {RunState(state): count for state, count in states}
        return Statistics(by_state, Workload(*counts[:5]), *counts[5:])

    async def lease_is_live(self, namespace: str, run_id: UUID, stage_number: int, lease_token: UUID) -> bool:
        """Returns whether this token is the one of the job's present lease."""
        given = (run_id, Int4(stage_number), lease_token, namespace)
        return bool(await self._database.run(runs.LEASE_IS_LIVE, given))

    async def read_outputs(self, namespace: str, run_id: UUID, numbers: Collection[int]) -> Mapping[int, str]:
        """Returns outputs of completed stages by number."""
        found: list[Any] = await self._database.run(
            runs.READ_OUTPUTS, (run_id, namespace, array("integer", numbers))
        )
        return dict(found)


def _stage_details(values: Sequence[Any]) -> StageDetails:
    stage = rows.stage_row(values[: rows.STAGE_WIDTH])
    reported, output, metrics, error, worker_name, available_at, said, told_at = values[rows.STAGE_WIDTH :]
    result = rows.stage_result(stage, output, metrics, error) if reported else None
    progress = None if said is None else rows.stage_progress(stage, said, told_at)
    return StageDetails(stage, result, worker_name or "", available_at, progress)


def _filters(which: RunFilter, before: UUID | None) -> dict[str, Any]:
    """The filters that are given, with their values."""
    states = array("text", sorted(which.states)) if which.states else None
    given = {
        "workflow_name": which.workflow_name or None,
        "states": states,
        "created_after": which.created_after,
        "created_before": which.created_before,
        "labels": orjson.dumps(dict(which.labels)).decode() if which.labels else None,
        "before": before,
    }
    return {name: value for name, value in given.items() if value is not None}


def _annotation_filters(which: AnnotationFilter) -> dict[str, Any]:
    """The filters that are given, with their values."""
    given = {name: getattr(which, name) for name in annotations.FILTERS}
    return {
        name: Int4(value) if isinstance(value, int) else value
        for name, value in given.items()
        if value not in ("", None)
    }
