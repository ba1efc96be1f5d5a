"""Commands that run stages in this process, and their results."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from stageline_engine.commands.base import Command
from stageline_engine.commands.jobs import Disposition
from stageline_engine.commands.outcomes import Outcome
from stageline_engine.limits import CHECK_TIMEOUT


@dataclass(frozen=True, slots=True)
class ExecuteJob(Command["JobExecuted"]):
    """``job.execute``: lease the job of a stage, run it in this process, and report it.

    Three steps: the lease is one transaction, the report is another, and the executor works between them, outside any. The
    lease is extended while it does; when it is lost (the run was cancelled, the time is over, another has the job) the
    executor is cancelled and what it would say is discarded. What the executor raises hands the job back.

    A repeat runs nothing that is complete: it says what came of it.

    Reached by embedding: give the kernel an ``Execution``.

    Attributes:
        namespace: The tenant.
        run_id: The run.
        stage_id: The stage.
    """

    namespace: str
    run_id: UUID
    stage_id: str


@dataclass(frozen=True, slots=True)
class JobExecuted:
    """Result of ``ExecuteJob``.

    Attributes:
        outcome: What the executor said, or the output of a stage that was complete before; None where nothing was run, or
            the lease was lost.
        disposition: What became of the report; None where there was none.
        note: Why the stage is failed although the executor said otherwise; empty when it is not.
        ghost: The work does not count: its run has ended, or the lease was lost. Never to be retried.
    """

    outcome: Outcome | None = None
    disposition: Disposition | None = None
    note: str = ""
    ghost: bool = False


@dataclass(frozen=True, slots=True)
class PollSuspended(Command["SuspendedPolled"]):
    """``stage.pollSuspended``: make the checks of suspended stages that are due, in this process.

    Waits that are over fail first, and are not checked. The checks run side by side, each outside any transaction and with a
    time-out of its own, so that a slow one delays no other; one that is over its time counts as not ready. Runs that were
    cancelled have no checks.

    A repeat makes the checks that are due then.

    Reached by embedding: give the kernel an ``Execution``. A server leaves checks to its workers.

    Attributes:
        limit: Checks at most.
        concurrency: Checks side by side.
        check_timeout: How long one may take.
    """

    limit: int = 500
    concurrency: int = 32
    check_timeout: timedelta = CHECK_TIMEOUT


@dataclass(frozen=True, slots=True)
class SuspendedPolled:
    """Result of ``PollSuspended``.

    Attributes:
        checked: Checks that were made.
        resumed: Those that were ready.
        failed: Those that failed.
        waiting: Those that were not ready, the ones that took too long among them.
        timed_out: Those that took too long.
        resumed_run_ids: Runs that go on, each once.
    """

    checked: int
    resumed: int
    failed: int
    waiting: int
    timed_out: int
    resumed_run_ids: tuple[UUID, ...]
