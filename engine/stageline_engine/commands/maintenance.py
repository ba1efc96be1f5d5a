"""Commands that keep the system going by itself, and their results."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from stageline_engine.commands.base import Command


@dataclass(frozen=True, slots=True)
class ReapStaleLeases(Command["StaleLeasesReaped"]):
    """``lease.reapStale``: hand on the jobs of sessions that were not heard of in time.

    A job goes back to the queue at no attempt's cost. After ``DELIVERIES_PER_ATTEMPT_MAX`` deliveries without an outcome its
    stage fails as WORKER_LOST: it probably kills its workers.

    A repeat finds nothing more to do. Several servers may reap at once: each session is ended once.

    Reached by the server's own timers, and ``AdminService.MaintenanceTick``.

    Attributes:
        limit: Sessions at most.
    """

    limit: int = 100


@dataclass(frozen=True, slots=True)
class StaleLeasesReaped:
    """Result of ``ReapStaleLeases``.

    Attributes:
        sessions: Sessions that were ended.
        requeued: Jobs that went back to the queue.
        poisoned: Stages that failed since they had been handed out too often.
    """

    sessions: tuple[UUID, ...] = ()
    requeued: int = 0
    poisoned: int = 0


@dataclass(frozen=True, slots=True)
class PromoteJobs(Command["JobsPromoted"]):
    """``job.promote``: make jobs ready whose time has come: retries after their backoff, checks of suspended stages.

    A repeat finds nothing more to do.

    Reached by the server's own timers, and ``AdminService.MaintenanceTick``.

    Attributes:
        limit: Jobs at most.
    """

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
class SequenceEvents(Command["EventsSequenced"]):
    """``events.sequence``: give committed events their place in the log of all events, and each consumer its part.

    A repeat goes on with what is left. Servers take turns, so that places become visible in their order.

    Reached by the server's own timers, ``AdminService.MaintenanceTick``, and whoever reads ``EventService.StreamEvents``.

    Attributes:
        limit: Commits at most.
    """

    limit: int = 500


@dataclass(frozen=True, slots=True)
class EventsSequenced:
    """Result of ``SequenceEvents``.

    Attributes:
        commits: How many were taken; as many as the limit where there may be more.
    """

    commits: int


@dataclass(frozen=True, slots=True)
class FlushOutbox(Command["OutboxFlushed"]):
    """``outbox.flush``: give unpublished events to their consumers, in order per run, each apart from the others.

    No transaction is open while a consumer works. A refused event is tried again after ``EMIT_BACKOFF_MIN``, doubled with each
    refusal up to ``EMIT_BACKOFF_MAX``, and is dead-lettered after ``EMIT_TRIES_MAX``; meanwhile it holds up the same run's
    later events for the same consumer, and nothing else.

    A repeat goes on with what is left. Several servers may flush at once: a run's stream is claimed for twice the consumer's
    time limit.

    Reached by the server's own timers, ``AdminService.MaintenanceTick``, and by embedding the kernel with sinks.

    Attributes:
        limit: Events at most, for each consumer.
        consumer: Only to this one; empty means to all that the kernel has a sink for.
    """

    limit: int = 500
    consumer: str = ""


@dataclass(frozen=True, slots=True)
class OutboxFlushed:
    """Result of ``FlushOutbox``.

    Attributes:
        published: Events that sinks took.
        failed: Streams that are held up: a sink refused an event, which will be tried again.
        dead: Events that were dead-lettered in this call.
        next_due_at: When there is something to flush again; None while there is nothing.
    """

    published: int
    failed: int = 0
    dead: int = 0
    next_due_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PurgeHistory(Command["HistoryPurged"]):
    """``history.purge``: forget what is past keeping. None keeps something for ever.

    A run stays while a consumer has not taken all of its events. What is locked is passed over.

    A repeat goes on with what is left. Several servers may purge at once.

    Reached by the server's own timers, and ``AdminService.MaintenanceTick``.

    Attributes:
        runs: Ended runs, with all that is theirs, this long after their end.
        keys: Idempotency keys this long after their first call; never longer than their runs.
        log: Entries of the log of all events; never longer than the runs that they tell of.
        sessions: Ended sessions of workers.
        consumers: Consumers that no server has had for this long, with what waits for them.
        limit: Of each at most; of runs a tenth, since each has many rows.
    """

    runs: timedelta | None = None
    keys: timedelta | None = None
    log: timedelta | None = None
    sessions: timedelta | None = None
    consumers: timedelta | None = None
    limit: int = 500


@dataclass(frozen=True, slots=True)
class HistoryPurged:
    """Result of ``PurgeHistory``.

    Attributes:
        run_ids: Runs that are gone.
        keys: How many idempotency keys.
        log: How many entries of the log.
        sessions: How many sessions.
        consumers: Names of forgotten consumers.
        more: Whether a limit was reached: there may be more.
    """

    run_ids: tuple[UUID, ...] = ()
    keys: int = 0
    log: int = 0
    sessions: int = 0
    consumers: tuple[str, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class ClaimPendingRuns(Command["PendingRunsClaimed"]):
    """``run.claimPending``: start runs that waited for their time, the most urgent first.

    One that cannot be started fails with CLAIM_FAILED, and does not hurt the others.

    A repeat finds nothing more to do. Several servers may claim at once: each run is started once.

    Reached by the server's own timers, and ``AdminService.MaintenanceTick``.

    Attributes:
        limit: Runs at most.
    """

    limit: int = 100


@dataclass(frozen=True, slots=True)
class PendingRunsClaimed:
    """Result of ``ClaimPendingRuns``.

    Attributes:
        run_ids: The runs that started.
        next_start_at: When the next one is due; None while none waits.
        failed_run_ids: Runs that could not be started, and have failed.
    """

    run_ids: tuple[UUID, ...]
    next_start_at: datetime | None
    failed_run_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpireDeadlines(Command["DeadlinesExpired"]):
    """``job.expire``: act on stages and runs that ran out of time.

    A stage that no worker took in time, or that was suspended for too long, fails; one that was not done in time, or gave no
    sign of life, fails the attempt, and the retry policy decides; a run that had not ended in time fails.

    A repeat finds nothing more to do.

    Reached by the server's own timers, at the exact moment, and ``AdminService.MaintenanceTick``.

    Attributes:
        limit: Jobs, and runs, at most.
    """

    limit: int = 500


@dataclass(frozen=True, slots=True)
class DeadlinesExpired:
    """Result of ``ExpireDeadlines``.

    Attributes:
        stages: How many stages it acted on.
        runs: How many runs it acted on.
        next_deadline_at: When the next deadline is; None while nothing has one.
    """

    stages: int
    runs: int
    next_deadline_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReapStuckRuns(Command["StuckRunsReaped"]):
    """``run.reapStuck``: find runs whose rows contradict each other, and repair them. It never fails a healthy run.

    A stage without a job gets one; a group whose end was not acted on is settled. A run that waits, in the queue, between two
    checks or for a worker that is busy for hours, is healthy.

    A repeat finds nothing more to do.

    Reached by the server's own timers, and ``AdminService.MaintenanceTick``.

    Attributes:
        limit: Runs at most.
    """

    limit: int = 100


@dataclass(frozen=True, slots=True)
class StuckRunsReaped:
    """Result of ``ReapStuckRuns``. In health every number is 0.

    Attributes:
        jobs_restored: Stages that got their job back.
        runs_settled: Runs that were advanced or ended.
    """

    jobs_restored: int
    runs_settled: int


@dataclass(frozen=True, slots=True)
class ReplayDeadLetters(Command["DeadLettersReplayed"]):
    """``plugin.replayDLQ``: let dead-lettered events be published again, in order.

    The next ``outbox.flush`` takes them up.

    A repeat finds nothing more to do, unless an event was dead-lettered again.

    Reached by ``EventService.ReplayDeadLetters``; ``Client.replay_dead_letters``; ``stageline dlq replay``.

    Attributes:
        letters: Dead letters, each (run id, consumer, sequence); empty means all. What is not dead any more is passed over.
        consumer: Only of this consumer; empty means of any.
        skip: Passes over the dead-lettered events for good instead of trying them again.
        limit: Streams at most.
    """

    letters: tuple[tuple[UUID, str, int], ...] = ()
    consumer: str = ""
    skip: bool = False
    limit: int = 100


@dataclass(frozen=True, slots=True)
class DeadLettersReplayed:
    """Result of ``ReplayDeadLetters``.

    Attributes:
        letters: Those whose streams go on, as (run id, consumer, sequence).
    """

    letters: tuple[tuple[UUID, str, int], ...]
