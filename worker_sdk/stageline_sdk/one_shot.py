"""What a worker that lived for one call has done: plain, frozen values."""

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OneShotJob:
    """One job that was leased.

    Attributes:
        run_id: The run.
        workflow_name: Its workflow.
        stage_id: The stage.
        kind: EXECUTE, or CHECK of a suspended stage.
        attempt: 1 for the first try.
        outcome: COMPLETED, FAILED, SUSPENDED, STILL_WAITING, RETURNED (handed back), or LOST: the lease was lost, or the
            server could not be told.
        disposition: What became of the report, such as RECORDED; empty for LOST.
        error: Why it failed or was refused; empty where it did not.
    """

    run_id: str
    workflow_name: str
    stage_id: str
    kind: str
    attempt: int
    outcome: str
    disposition: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class OneShotResult:
    """What `Worker.run_once` did.

    Attributes:
        jobs: Every job that was leased, in the order in which they ended. Empty when there was nothing to do.
    """

    jobs: tuple[OneShotJob, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs had each outcome."""
        return dict(Counter(job.outcome for job in self.jobs))

    @property
    def has_failures(self) -> bool:
        """Whether any job failed, was lost or was refused."""
        return any(job.outcome in ("FAILED", "LOST") or job.disposition == "REFUSED" for job in self.jobs)
