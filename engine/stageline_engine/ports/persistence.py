"""The transactional state: runs, stages, jobs, events, idempotency keys.

The lock order is part of the contract: whoever changes a run, its stages or its jobs holds the run's lock. Locks are
taken in run-id order, or passed over where they cannot be had at once, so that batches of several servers never deadlock.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from msgspec import Struct

from stageline_engine.decide.lease import Urgency
from stageline_engine.model.job import JobRow
from stageline_engine.model.run import RunRow
from stageline_engine.model.stage import StageRow
from stageline_engine.model.submission import KnownSubmission, SubmissionRow
from stageline_engine.records import (
    ChangeSet,
    EventRow,
    EventSource,
    JobKey,
    KeyRecord,
    ResumeToken,
    SuspendedState,
)

Selection = frozenset[int]
"""Numbers of the stages to load with a run."""

ALL_STAGES: Selection = frozenset({0})
"""Every stage of the run."""


class LoadedRun(NamedTuple):
    """A locked run with the selected stages and their live jobs."""

    run: RunRow
    stages: Sequence[StageRow]
    jobs: Sequence[JobRow]


class ClaimedJob(NamedTuple):
    """A ready job with its stage and run; all three are locked."""

    run: RunRow
    stage: StageRow
    job: JobRow


class Claim(NamedTuple):
    """Ready jobs, the most urgent first; ``contended`` where others were passed over since their run was locked."""

    jobs: Sequence[ClaimedJob]
    contended: bool


class InputRequest(Struct, frozen=True):
    """What a leased job's worker needs.

    Attributes:
        run_id: The run.
        stage_number: The stage.
        stage_id: Selects the stage's slice of the config.
        with_run_input: Whether the run's input is the stage's input.
        output_numbers: Stages whose outputs to send, the most needed first.
        outputs_bytes_max: Outputs are taken in that order as long as their sum stays within this.
        suspended_generation: Of this generation the state that the stage suspended with; None where it never can.
        submitted_generation: Of this generation what was submitted elsewhere; None where this is the stage's first lease.
    """

    run_id: UUID
    stage_number: int
    stage_id: str
    with_run_input: bool
    output_numbers: tuple[int, ...]
    outputs_bytes_max: int
    suspended_generation: int | None = None
    submitted_generation: int | None = None


class JobInputs(Struct, frozen=True):
    """JSON texts for one leased job; ``outputs`` by stage number, as far as they fit; the state if there is one.

    ``submissions`` are ordered by key.
    """

    config: str
    run_input: str | None
    outputs: Mapping[int, str]
    suspended_state: str | None = None
    submissions: Sequence[KnownSubmission] = ()


@dataclass(frozen=True, slots=True)
class OutboxBatch:
    """Consecutive unpublished events of one run; ``tries`` is how often the first was refused."""

    source: EventSource
    events: Sequence[EventRow]
    tries: int

    @property
    def run_id(self) -> UUID:
        """The run."""
        return self.source.run_id


@dataclass(frozen=True, slots=True)
class OutboxSettlement:
    """What became of a stream that a consumer's flusher had claimed.

    Attributes:
        run_id: The run.
        locked_until: As it was claimed: tells this claim from a later one.
        published_up_to: Sequence of the last event that the consumer has taken.
        tries: How often the event after it was refused in a row; 0 where it was not.
        next_try_at: The stream is not due before this time; None where it is due at once.
        dead_at: When the event after it was dead-lettered, which holds the stream until it is replayed; None: it was not.
        last_error: Why the sink refused, for a person; empty where it did not.
    """

    run_id: UUID
    locked_until: datetime
    published_up_to: int
    tries: int = 0
    next_try_at: datetime | None = None
    dead_at: datetime | None = None
    last_error: str = ""


class PurgeBefore(NamedTuple):
    """Times before which something is past keeping; None keeps it."""

    keys: datetime | None = None
    log: datetime | None = None
    sessions: datetime | None = None


class Purged(NamedTuple):
    """How many of each were deleted: idempotency keys, entries of the event log, ended sessions."""

    keys: int = 0
    log: int = 0
    sessions: int = 0


class DeadLetterKey(NamedTuple):
    """Names a dead letter: the event that a consumer gave up on."""

    run_id: UUID
    consumer: str
    sequence: int


class UnitOfWork(Protocol):
    """One transaction: load (which locks), decide in memory, commit. Left without ``commit``, nothing happened.

    Atomic: all that its methods have changed becomes visible with ``commit``, and none of it without. Any method may raise ``StorageUnavailableError`` where the database is away: before
    ``commit`` nothing has happened then, during it either all or nothing has.
    """

    async def load_runs(self, wanted: Mapping[UUID, Selection]) -> Sequence[LoadedRun]:
        """Locks runs in id order and reads them with the selected stages; those that do not exist are left out."""
        ...

    async def load_outputs(
        self, wanted: Mapping[UUID, Collection[int]], bytes_max: int
    ) -> Mapping[JobKey, str]:
        """Reads outputs of completed stages of locked runs; those longer than ``bytes_max`` are left out."""
        ...

    async def load_configs(self, run_ids: Collection[UUID]) -> Mapping[UUID, str]:
        """Reads the whole configs of locked runs, as JSON texts."""
        ...

    async def claim_jobs(self, route_ids: Sequence[int], limit: int) -> Claim:
        """Locks ready jobs of these routes and their runs, the most urgent first, passing over what is locked."""
        ...

    async def queue_heads(self, route_ids: Collection[int]) -> Mapping[int, Urgency]:
        """Returns the most urgent ready job of each route that has one. Locks nothing."""
        ...

    async def reserve_keys(
        self, keys: Collection[tuple[str, str, str]]
    ) -> Mapping[tuple[str, str, str], KeyRecord | None]:
        """Reserves idempotency keys, each (namespace, command, key), until the transaction ends.

        Returns:
            For each key that was reserved its stored record, or None where it is new. Keys that another transaction
            holds at this moment are left out.
        """
        ...

    async def expire_sessions(self, now: datetime, limit: int) -> Sequence[UUID]:
        """Ends living sessions whose time is over (``expires_at`` is ``now`` or earlier), with reason ``TIMED_OUT``.

        Returns:
            Their ids, and where the limit leaves room those of sessions that have ended, or were even purged, but still hold
            jobs: one was leased to them at the moment they ended. The earliest to expire first, purged ones before all; what
            another transaction has locked is passed over.
        """
        ...

    async def jobs_of_sessions(self, session_ids: Collection[UUID]) -> Sequence[JobKey]:
        """Returns the jobs leased by these sessions. Locks nothing: load the runs and look again."""
        ...

    async def claim_pending_runs(self, now: datetime, limit: int) -> tuple[Sequence[RunRow], datetime | None]:
        """Locks PENDING runs whose time has come, the most urgent first, passing over what is locked.

        Returns:
            The runs, and the earliest time that another one waits for.
        """
        ...

    async def due_deadlines(
        self, now: datetime, limit: int
    ) -> tuple[Sequence[JobKey], Sequence[UUID], datetime | None]:
        """Returns jobs, and open runs, whose deadline has passed, and the earliest of the other deadlines.

        Locks nothing: load the runs and look again.
        """
        ...

    async def stuck_runs(self, limit: int) -> Sequence[UUID]:
        """Returns RUNNING runs with an open stage that has no job, or with no open stage at all. Locks nothing."""
        ...

    async def load_resume_token(self, token_sha256: bytes) -> ResumeToken | None:
        """Returns what is stored of a resume token; lock its run first."""
        ...

    async def load_waits(self, keys: Collection[JobKey]) -> Sequence[SuspendedState]:
        """Returns what suspended stages of locked runs wait with, in their present generation."""
        ...

    async def known_annotations(self, wanted: Mapping[UUID, Collection[str]]) -> Collection[tuple[UUID, str]]:
        """Returns those (run id, annotation id) that are stored already; lock the runs first."""
        ...

    async def known_ai_calls(self, wanted: Mapping[str, Collection[UUID]]) -> Mapping[tuple[str, UUID], bool]:
        """Returns those (namespace, AI call id) that are stored already, and whether each is open.

        Lock the runs that they are booked to first.
        """
        ...

    async def load_submissions(
        self, executions: Collection[tuple[UUID, int, int]]
    ) -> Sequence[SubmissionRow]:
        """Returns what stages of locked runs submitted elsewhere, by (run id, stage number, generation)."""
        ...

    async def revive_outbox(
        self, letters: Collection[DeadLetterKey], *, consumer: str = "", skip: bool, limit: int
    ) -> Sequence[DeadLetterKey]:
        """Lets dead-lettered streams go on, passing over what is locked.

        Args:
            letters: Which dead letters; empty means all. One that is not dead any more is passed over.
            consumer: Only of this consumer; empty means of any.
            skip: Counts the refused event as published instead of trying it again.
            limit: Streams at most.

        Returns:
            The dead letters whose streams go on, by run and consumer.
        """
        ...

    async def promote_jobs(self, now: datetime, limit: int) -> tuple[Sequence[int], datetime | None]:
        """Makes delayed jobs ready whose time has come.

        Returns:
            The route of each promoted job, and the earliest time that another one waits for.
        """
        ...

    async def keep_consumers(self, names: Collection[str], now: datetime) -> None:
        """Notes that these consumers live: each is told of every event that gets its place in the log from now on."""
        ...

    async def forget_consumers(self, seen_before: datetime) -> Sequence[str]:
        """Removes consumers that were last kept before a time, with their streams, and returns their names."""
        ...

    async def sequence_events(self, now: datetime, limit: int) -> int:
        """Gives committed events their place in the log, and each consumer its streams.

        One transaction at a time does so, and others wait for it: places become visible in their order, so that a
        reader's cursor misses nothing, in whatever order transactions commit.

        Args:
            now: The present time.
            limit: Commits at most.

        Returns:
            How many commits were taken; fewer than the limit where none is left.
        """
        ...

    async def claim_outbox(
        self, consumer: str, now: datetime, limit: int, locked_until: datetime
    ) -> Sequence[OutboxBatch]:
        """Takes streams with events for a consumer that are due, passing over what another flusher has.

        The claim outlives the transaction, so that none is held while a consumer works: no other flusher is given the
        stream before ``locked_until``. A stream that waits for its next try, or is dead, is not due.

        Args:
            consumer: Whose streams.
            now: The present time.
            limit: Events in all, at least one.
            locked_until: When the claim lapses; with run and consumer it names the claim.

        Returns:
            For each stream its next events without a gap. The streams that have waited longest come first, since
            their claim lapsed, their next try was due, or their first unpublished event happened; then by run id.
        """
        ...

    async def next_outbox_due(self, consumer: str, locked_until: datetime) -> datetime | None:
        """Returns when a stream of a consumer is due next, leaving out what was claimed until this very time."""
        ...

    async def settle_outbox(self, consumer: str, settlements: Sequence[OutboxSettlement]) -> None:
        """Notes what became of claimed streams and frees them. A claim that has lapsed and was taken anew is passed over."""
        ...

    async def purge_runs(self, ended_before: datetime, limit: int) -> Sequence[UUID]:
        """Deletes ended runs with all that is theirs, the longest ended first, passing over what is locked.

        A run with events that a consumer has not taken, or that have no place in the log yet, stays until they are delivered
        or skipped. The AI calls of a run that
        goes stay; whether each was wasted is written down with it, for nothing else tells that any more.

        Returns:
            The runs that are gone.
        """
        ...

    async def purge_records(self, before: PurgeBefore, limit: int) -> Purged:
        """Deletes what is kept for a time only, each kind up to the limit, the oldest first."""
        ...

    async def commit(self, changes: ChangeSet, inputs: Sequence[InputRequest] = ()) -> Sequence[JobInputs]:
        """Writes the difference, reads what leased jobs need, and commits, all in one round trip where it can.

        Args:
            changes: Rows with the versions that they were read with; each written row's version grows by one, so that
                an inserted row, which comes with version 0, begins at 1.
            inputs: What to read for the leased jobs.

        Returns:
            One value for each request, in order.

        Raises:
            ConcurrentChangeError: A row was not as it had been read, or one to insert was there already. Nothing was
                written.
        """
        ...


class Persistence(Protocol):
    """Opens transactions, which are serialized by the runs that they lock. Opening one may raise ``StorageUnavailableError``."""

    def begin(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Begins a transaction; leaving the context without ``commit`` rolls back."""
        ...
