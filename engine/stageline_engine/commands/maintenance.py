"""Commands that keep the system going by itself, and their results."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from stageline_engine.commands.base import Command


@dataclass(frozen=True, slots=True)
class ReapStaleLeases(Command["StaleLeasesReaped"]):
    """``lease.reapStale``: hand on the jobs of sessions that were not heard of in time."""

    limit: int = 100


@dataclass(frozen=True, slots=True)
class StaleLeasesReaped:
    """Result of ``ReapStaleLeases``."""

    sessions: tuple[UUID, ...] = ()
    requeued: int = 0
    poisoned: int = 0


@dataclass(frozen=True, slots=True)
class PromoteJobs(Command["JobsPromoted"]):
    """Makes jobs ready whose time has come: retries after their backoff, checks of suspended stages."""

    limit: int = 500


@dataclass(frozen=True, slots=True)
class JobsPromoted:
    """Result of ``PromoteJobs``.

    Attributes:
        promoted: How many became ready.
        next_available_at: When the next one will; None while no job waits for a time.
    """

    promoted: int
    next_available_at: datetime | None


@dataclass(frozen=True, slots=True)
class FlushOutbox(Command["OutboxFlushed"]):
    """``outbox.flush``: give unpublished events to the sink, in order per run."""

    limit: int = 500


@dataclass(frozen=True, slots=True)
class OutboxFlushed:
    """Result of ``FlushOutbox``.

    Attributes:
        published: Events that the sink took.
        failed: Runs whose stream is held up: the sink refused an event, which will be tried again.
        dead: Events that were dead-lettered in this call.
    """

    published: int
    failed: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class ClaimPendingRuns(Command["PendingRunsClaimed"]):
    """``run.claimPending``: start runs that waited for their time, the most urgent first."""

    limit: int = 100


@dataclass(frozen=True, slots=True)
class PendingRunsClaimed:
    """Result of ``ClaimPendingRuns``: the runs that started, and when the next one is due (None: none waits)."""

    run_ids: tuple[UUID, ...]
    next_start_at: datetime | None


@dataclass(frozen=True, slots=True)
class ExpireDeadlines(Command["DeadlinesExpired"]):
    """``job.expire``: act on stages and runs that ran out of time."""

    limit: int = 500


@dataclass(frozen=True, slots=True)
class DeadlinesExpired:
    """Result of ``ExpireDeadlines``: how many stages and runs it acted on, and when the next deadline is."""

    stages: int
    runs: int
    next_deadline_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReapStuckRuns(Command["StuckRunsReaped"]):
    """``run.reapStuck``: find runs whose rows contradict each other, and repair them. It never fails a healthy run."""

    limit: int = 100


@dataclass(frozen=True, slots=True)
class StuckRunsReaped:
    """Result of ``ReapStuckRuns``: what was repaired. In health every number is 0."""

    jobs_restored: int
    runs_settled: int


@dataclass(frozen=True, slots=True)
class ReplayDeadLetters(Command["DeadLettersReplayed"]):
    """``plugin.replayDLQ``: let dead-lettered events be published again, in order.

    Attributes:
        run_ids: Runs whose streams to take up; empty means all.
        skip: Passes over the dead-lettered event for good instead of trying it again.
        limit: Streams at most.
    """

    run_ids: tuple[UUID, ...] = ()
    skip: bool = False
    limit: int = 100


@dataclass(frozen=True, slots=True)
class DeadLettersReplayed:
    """Result of ``ReplayDeadLetters``: runs whose streams go on."""

    run_ids: tuple[UUID, ...]
