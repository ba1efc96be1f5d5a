"""AI calls for tests, and what a ledger must add up to."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from stageline_engine.commands import (
    AiCallRecorded,
    JobOffer,
    JobReportRecorded,
    Outcome,
    RecordAiCall,
    ReportJob,
)
from stageline_engine.model.ai_call import AiCall, CallType, CostSource
from stageline_engine.ports import BookedCall, UsageFilter, UsageSum
from stageline_engine.rejections import Rejection
from stageline_engine.testing.scene import Scene

CALLS_MAX = 1000


def ai_call(id_: UUID, cost: str | None = "0.001", topic: str = "draft", **fields: Any) -> AiCall:
    """A call that cost something; of unknown cost where that is None."""
    amount = None if cost is None else Decimal(cost)
    source = None if cost is None else CostSource.PROVIDER
    defaults: dict[str, Any] = {"call_type": CallType.TEXT, "input_tokens": 10, "output_tokens": 5}
    return AiCall(id=id_, topic=topic, cost=amount, cost_source=source, **(defaults | fields))


class LedgerScene:
    """The ledger's side of a scene."""

    def __init__(self, scene: Scene) -> None:
        """Takes the scene."""
        self.scene = scene

    def new_call(self, cost: str | None = "0.001", topic: str = "draft", **fields: Any) -> AiCall:
        """A call with an id of its own."""
        return ai_call(self.scene.ids.new_token(), cost, topic, **fields)

    async def record(self, call: AiCall, **fields: Any) -> AiCallRecorded | Rejection:
        """Books a call under no lease."""
        return await self.scene.kernel.dispatch(RecordAiCall(self.scene.namespace, call, **fields))

    async def record_under(self, offer: JobOffer, call: AiCall) -> AiCallRecorded | Rejection:
        """Books a call under a lease, whatever has become of it."""
        lease = offer.lease
        return await self.record(
            call, run_id=lease.run_id, stage_number=lease.stage_number, lease_token=lease.lease_token
        )

    async def report(self, offer: JobOffer, outcome: Outcome, *calls: AiCall) -> JobReportRecorded:
        """Reports on a job, with calls."""
        lease = offer.lease
        command = ReportJob(
            offer.namespace, lease.run_id, lease.stage_number, lease.lease_token, outcome, ai_calls=calls
        )
        recorded = await self.scene.kernel.dispatch(command)
        if isinstance(recorded, Rejection):
            raise AssertionError(recorded)
        return recorded

    async def calls(self, **fields: Any) -> list[BookedCall]:
        """Lists what is booked, the newest first."""
        found = await self.scene.backend.usage.list_calls(
            self.scene.namespace, UsageFilter(**fields), limit=CALLS_MAX, with_contents=True
        )
        return list(found)

    async def total(self, **fields: Any) -> UsageSum:
        """Sums what is booked."""
        (found,) = await self.scene.backend.usage.sum_calls(
            self.scene.namespace, UsageFilter(**fields), limit=1
        )
        return found

    async def check_totals(self, run_id: UUID) -> UsageSum:
        """Checks I7: a run's totals are the sum of its calls, read three ways; returns the sum.

        Raises:
            AssertionError: They are not.
        """
        details, booked = await self.scene.details(run_id), await self.calls(run_id=run_id)
        run, total = details.run, await self.total(run_id=run_id)
        costs = [one.row.call.cost for one in booked]
        spent = sum((cost for cost in costs if cost is not None), Decimal(0))
        tokens = sum(one.row.call.tokens for one in booked)
        wasted = sum((one.row.call.cost or Decimal(0) for one in booked if one.wasted), Decimal(0))
        found = (run.total_cost, run.total_tokens, total.calls, total.unknown_costs, total.wasted_cost)
        expected = (spent, tokens, len(booked), costs.count(None), wasted)
        if found != expected or details.usage != total:
            raise AssertionError(
                f"the ledger of run {run_id}: {found}, {details.usage}; its calls: {expected}"
            )
        return total
