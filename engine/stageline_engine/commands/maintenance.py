"""Commands that keep the system going by itself, and their results."""

from dataclasses import dataclass
from datetime import datetime
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
class FlushOutbox(Command["OutboxFlushed"]):
    """``outbox.flush``: give unpublished events to the sink, in order per run.

    No transaction is open while the sink works. A refused event is tried again after ``EMIT_BACKOFF_MIN``, doubled with each
    refusal up to ``EMIT_BACKOFF_MAX``, and is dead-lettered after ``EMIT_TRIES_MAX``; meanwhile it holds up its own run only.

    A repeat goes on with what is left. Several servers may flush at once: a run's stream is claimed for ``EMIT_CLAIM``.

    Reached by ``AdminService.MaintenanceTick``, and by embedding the kernel with a sink.

    Attributes:
        limit: Events at most.
    """

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

    Reached by ``EventService.ReplayDeadLetters``; ``Client.replay_dead_letters``; ``stageline events replay``.

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
    """Result of ``ReplayDeadLetters``.

    Attributes:
        run_ids: Runs whose streams go on.
    """

    run_ids: tuple[UUID, ...]
