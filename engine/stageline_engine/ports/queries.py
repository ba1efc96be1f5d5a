"""Reading: runs as people and programs look at them, their events and their logs. Nothing here locks anything."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from stageline_engine.model.run import RunRow, RunState
from stageline_engine.model.stage import StageRow
from stageline_engine.model.submission import SubmissionRow
from stageline_engine.ports.persistence import DeadLetterKey
from stageline_engine.ports.usage import UsageSum
from stageline_engine.records import (
    AnnotationRecord,
    EventRow,
    EventSource,
    RunPayload,
    StageProgress,
    StageResult,
)


@dataclass(frozen=True, slots=True)
class StageDetails:
    """A stage with its last result and its worker's name while it is leased.

    Attributes:
        stage: The row.
        result: The last recorded outcome of this generation, if any; the output is left out in the basic view.
        worker_name: Who holds its job now; empty where nobody does.
        available_at: When its waiting job may be leased; None where no job waits.
        progress: What its present try said last of how far it is; None where it said nothing.
    """

    stage: StageRow
    result: StageResult | None
    worker_name: str
    available_at: datetime | None
    progress: StageProgress | None = None


@dataclass(frozen=True, slots=True)
class RunDetails:
    """A run with its payload, its stages in definition order, and more, all as of one moment.

    Attributes:
        run: The row.
        payload: What never changes of it.
        stages: Those that were reached.
        usage: The sum of its AI calls.
        submissions: What its stages submitted elsewhere, by stage number, generation and key.
    """

    run: RunRow
    payload: RunPayload
    stages: Sequence[StageDetails]
    usage: UsageSum = UsageSum()  # noqa: RUF009 - a frozen value
    submissions: Sequence[SubmissionRow] = ()


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; empty fields do not filter. All given ones must hold.

    ``created_after`` includes that very time, ``created_before`` does not.
    """

    namespace: str
    workflow_name: str = ""
    states: Collection[RunState] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, the newest first.

    Attributes:
        runs: At most the limit.
        next_before: Pass as ``before`` for the next page; None at the end.
        labels: The labels of each run, by its id.
    """

    runs: Sequence[RunRow]
    next_before: UUID | None
    labels: Mapping[UUID, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class AnnotationFilter:
    """Which annotations to list; empty fields do not filter. All given ones must hold.

    Attributes:
        key: This key exactly.
        key_prefix: Keys that begin so.
        scope: This scope.
        scope_id: This thing in its scope.
        actor_kind: Said by this kind.
        actor_id: Said by this one.
        generation: Said in this generation of a stage.
        stage_number: Said in this stage.
        since: Said at this time or later.
        until: Said before this time.
    """

    key: str = ""
    key_prefix: str = ""
    scope: str = ""
    scope_id: str = ""
    actor_kind: str = ""
    actor_id: str = ""
    generation: int | None = None
    stage_number: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, record: AnnotationRecord) -> bool:
        """Whether an annotation passes."""
        said = record.annotation
        return (
            self.key in ("", said.key)
            and said.key.startswith(self.key_prefix)
            and self.scope in ("", said.scope)
            and self.scope_id in ("", said.scope_id)
            and self.actor_kind in ("", said.actor_kind)
            and self.actor_id in ("", said.actor_id)
            and self.generation in (None, said.generation)
            and self.stage_number in (None, said.stage_number)
            and (self.since is None or record.created_at >= self.since)
            and (self.until is None or record.created_at < self.until)
        )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a consumer would not take; it holds up its run's stream until it is replayed or skipped."""

    consumer: str
    source: EventSource
    event: EventRow
    tries: int
    last_error: str
    dead_at: datetime

    @property
    def key(self) -> DeadLetterKey:
        """Its name."""
        return DeadLetterKey(self.event.run_id, self.consumer, self.event.sequence)


ENTRY_READ = 2**63 - 1
"""Sequence of a cursor behind the last event of its entry."""


class LogCursor(NamedTuple):
    """A place in the log of all events: all before it, and those of this entry up to the sequence, were read."""

    position: int = 0
    sequence: int = 0


class LoggedEvent(NamedTuple):
    """An event of the log with whose it is, and the position of its entry."""

    source: EventSource
    event: EventRow
    position: int


class LogPage(NamedTuple):
    """Events in the order of the log; ``cursor`` follows what was read, also where nothing of it was the namespace's."""

    events: Sequence[LoggedEvent]
    cursor: LogCursor
    more: bool


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a stage logged. ``id`` is 0 until it is stored and grows with each stored line."""

    run_id: UUID
    stage_number: int
    attempt: int
    level: str
    message: str
    metadata: Mapping[str, Any]
    logged_at: datetime
    id: int = 0
    generation: int = 0


class DueCheck(NamedTuple):
    """A check of a suspended stage that is ready to be made."""

    namespace: str
    run_id: UUID
    stage_id: str
    route_id: int


class Workload(NamedTuple):
    """What a store holds of all namespaces.

    Attributes:
        ready: Jobs that could start now.
        leased: Jobs that workers hold.
        delayed: Jobs that wait for their time.
        oldest_ready_at: Since when the oldest ready job could start; None where none is ready.
        dead_letters: Streams of events that stand at a dead letter.
    """

    ready: int
    leased: int
    delayed: int
    oldest_ready_at: datetime | None
    dead_letters: int


class Statistics(NamedTuple):
    """What a store holds of one namespace.

    Attributes:
        runs: Runs by state; a state without any is left out.
        work: Its jobs and dead letters.
        undelivered: Events that wait to be delivered; one counts once for each consumer.
        sessions: Living sessions of workers.
        slots: The slots of them all.
    """

    runs: Mapping[RunState, int]
    work: Workload
    undelivered: int
    sessions: int
    slots: int


class PoolUse(NamedTuple):
    """Use of one pool of connections: those lent, those free, and who waits for one."""

    busy: int
    idle: int
    waiting: int


class RunQueries(Protocol):
    """Runs, stages and events, as last committed. Another namespace's run does not exist for the asker.

    Atomic: nothing. What is read is committed, but parts of one answer may be a statement apart: decide nothing by them, but
    under the run's lock. Any method may raise ``StorageUnavailableError`` where the database is away.
    """

    async def get_run(self, namespace: str, run_id: UUID, *, with_outputs: bool) -> RunDetails | None:
        """Returns a run with its stages, or None."""
        ...

    async def list_runs(self, which: RunFilter, *, before: UUID | None = None, limit: int) -> RunPage:
        """Returns runs, the newest first, older than ``before``."""
        ...

    async def list_events(
        self, namespace: str, run_id: UUID, *, after_sequence: int, limit: int
    ) -> tuple[Sequence[EventRow], RunState] | None:
        """Returns a run's events after a sequence, in order, and its state read at the same moment; None: no such run."""
        ...

    async def list_annotations(
        self, namespace: str, run_id: UUID, which: AnnotationFilter, *, after_id: str = "", limit: int
    ) -> Sequence[AnnotationRecord]:
        """Returns a run's annotations by time, then id, after the one with ``after_id``."""
        ...

    async def list_dead_letters(
        self,
        namespace: str,
        *,
        consumer: str = "",
        run_id: UUID | None = None,
        after: DeadLetterKey | None = None,
        limit: int,
    ) -> Sequence[DeadLetter]:
        """Returns dead-lettered events of a namespace, one for each stream that stands, by run and consumer."""
        ...

    async def read_log(self, namespace: str, cursor: LogCursor, limit: int) -> LogPage:
        """Returns events of a namespace that come after a place in the log. Those not yet sequenced are not in it."""
        ...

    async def log_bounds(self) -> tuple[int, int]:
        """Returns the positions of the oldest and the newest entry of the log; 0 and 0 where it is empty."""
        ...

    async def list_due_checks(self, *, limit: int) -> Sequence[DueCheck]:
        """Returns checks of running runs that are ready and not leased, of all namespaces, the most urgent first."""
        ...

    async def workload(self) -> Workload:
        """Counts live jobs and dead letters of all namespaces."""
        ...

    async def statistics(self, namespace: str) -> Statistics:
        """Counts what a namespace holds. Its time grows with the number of runs that are kept."""
        ...

    async def lease_is_live(self, namespace: str, run_id: UUID, stage_number: int, lease_token: UUID) -> bool:
        """Returns whether this token is the one of the job's present lease."""
        ...

    async def read_outputs(self, namespace: str, run_id: UUID, numbers: Collection[int]) -> Mapping[int, str]:
        """Returns outputs (JSON text) of completed stages by number; those that have none are left out."""
        ...


class LogStore(Protocol):
    """Log lines of stages. Append only.

    Atomic: the lines of one call are stored all or none, and become visible in the order of their ids. Any method may raise ``StorageUnavailableError`` where the database is away.
    """

    async def append(self, lines: Sequence[LogLine]) -> None:
        """Stores lines, all or none."""
        ...

    async def list(
        self, namespace: str, run_id: UUID, *, after_id: int = 0, stage_number: int = 0, limit: int
    ) -> Sequence[LogLine]:
        """Returns a run's lines after an id, oldest first; ``stage_number`` 0 means every stage."""
        ...
