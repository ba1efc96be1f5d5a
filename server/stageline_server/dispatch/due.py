"""What becomes due by time alone: retries, checks, starts of runs, deadlines. One step takes all of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from stageline_engine.commands import ClaimPendingRuns, Command, Effects, ExpireDeadlines, PromoteJobs
from stageline_engine.kernel import Kernel
from stageline_engine.ports import Clock
from stageline_engine.rejections import Rejection

CONTENTION_PAUSE_SECONDS = 0.01
"""Wait before what is due is looked at again whose run was locked: about as long as the transaction that holds it."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class DueStep:
    """What one step did.

    Attributes:
        promoted: Jobs that became ready.
        started: Runs that waited for their time.
        expired_stages: Stages whose time was over.
        expired_runs: Runs whose time was over.
        again_at: When the next step is due; None while nothing waits for a time.
        more: Whether something is due already.
        contended: Whether it is due still since its run was locked: look again after a short pause.
    """

    promoted: int
    started: int
    expired_stages: int
    expired_runs: int
    again_at: datetime | None
    more: bool
    contended: bool = False


class DueWork:
    """Takes what is due. Several servers may do so at once: each passes over what another has locked."""

    def __init__(
        self, kernel: Kernel, clock: Clock, carry_out: Callable[[Effects], None], *, batch_max: int
    ) -> None:
        """Takes the kernel, the time, what carries out the effects of a commit, and the size of a batch."""
        self._kernel = kernel
        self._clock = clock
        self._carry_out = carry_out
        self._batch_max = batch_max

    async def step(self) -> DueStep:
        """Takes one batch of each kind.

        Deadlines come first: a check that became due at the very end of its wait is not made any more.

        Raises:
            StorageUnavailableError: The database is away.
        """
        expired = await self._dispatch(ExpireDeadlines(self._batch_max))
        promoted = await self._dispatch(PromoteJobs(self._batch_max))
        claimed = await self._dispatch(ClaimPendingRuns(self._batch_max))
        now = self._clock.now()
        full = self._batch_max in (
            promoted.promoted,
            len(claimed.run_ids),
            expired.stages + expired.runs,
        )
        waits = (promoted.next_available_at, claimed.next_start_at, expired.next_deadline_at)
        next_at = min((moment for moment in waits if moment is not None), default=None)
        locked = not full and next_at is not None and next_at <= now
        return DueStep(
            promoted.promoted,
            len(claimed.run_ids),
            expired.stages,
            expired.runs,
            again_at=now if full else next_at,
            more=full or locked,
            contended=locked,
        )

    async def _dispatch(self, command: Command[Result]) -> Result:
        dispatched = await self._kernel.dispatch_many([command])
        self._carry_out(dispatched.effects)
        result = dispatched.results[0]
        assert not isinstance(result, Rejection)
        return result
