"""A kernel that counts what it was asked and how it answered, so that a history can say what it has shown."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from stageline_engine.commands import (
    Disposition,
    JobExecuted,
    JobReportRecorded,
    LeaseDemand,
    ReportJob,
    SuspendedPolled,
)
from stageline_engine.kernel import HANDLERS, Dispatched, Kernel
from stageline_engine.rejections import Rejection


class CountedKernel(Kernel):
    """A kernel that keeps count.

    Attributes:
        answers: For each kind of command how often it was ``accepted``, ``refused`` or ``lost``.
        reported: Reports that were dispatched one by one, as those of stages in process are, with their answers.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes what a kernel takes."""
        super().__init__(*args, **kwargs)
        self.answers: dict[str, Counter[str]] = {}
        self.reported: list[tuple[ReportJob, JobReportRecorded]] = []

    async def dispatch_many(
        self, batch: Sequence[Any], demands: Sequence[LeaseDemand] = ()
    ) -> Dispatched[Any]:
        """Dispatches and counts."""
        kind = type(batch[0]).__name__
        self._count(kind, "lost", len(batch))  # until the answer says otherwise
        dispatched = await super().dispatch_many(batch, demands)
        self._count(kind, "lost", -len(batch))
        for result in dispatched.results:
            self._count(kind, "refused" if isinstance(result, Rejection) else "accepted", 1)
        return dispatched

    async def dispatch(self, command: Any) -> Any:
        """Dispatches; what does not pass through ``dispatch_many`` is counted here."""
        result = await super().dispatch(command)
        if type(command) not in HANDLERS:
            self._count(type(command).__name__, "accepted" if _carried_out(result) else "refused", 1)
        if isinstance(command, ReportJob):
            self.reported.append((command, result))
        return result

    def _count(self, kind: str, answer: str, times: int) -> None:
        self.answers.setdefault(kind, Counter())[answer] += times


def _carried_out(result: Any) -> bool:
    """Whether there was anything to do: a stage that is not ready is not run, and where no check is due none is made."""
    if isinstance(result, JobExecuted):
        return result.disposition is Disposition.RECORDED
    return not isinstance(result, SuspendedPolled) or result.checked > 0
