"""What the world was told of AI calls, and what a run's totals must therefore be (I7)."""

import dataclasses
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from stageline_engine.model.ai_call import AiCall
from stageline_engine.ports import RunDetails, UsageSum
from stageline_engine.testing.ai_calls import ai_call
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.submitted import Submitted

IDS = 60
"""Ids that calls of all tenants share, so that many are told twice, of another run, or at another price."""


class Spending:
    """The first record of each call that was acknowledged, and what was submitted elsewhere.

    Attributes:
        submitted: What is bought elsewhere.
    """

    def __init__(self, submitted: Submitted) -> None:
        """Nothing was spent yet."""
        self._booked: dict[tuple[str, UUID], tuple[UUID, AiCall]] = {}
        self._serial = 0
        self.submitted = submitted

    def some_call(self, choose: Choices) -> AiCall:
        """A call of one of few ids, at any price or none."""
        return self._priced(UUID(int=choose.number(1, IDS)), choose)

    def new_call(self, choose: Choices) -> AiCall:
        """A call of an id that nobody has used."""
        self._serial += 1
        return self._priced(UUID(int=IDS + self._serial), choose)

    @staticmethod
    def _priced(id_: UUID, choose: Choices) -> AiCall:
        cost = choose.one_of((None, "0", "0.1", "0.000000000001", "3"))
        if choose.one_of((True, False, False)):
            return ai_call(id_, None, "a", input_tokens=None, output_tokens=None, is_open=True)
        return ai_call(id_, cost, choose.one_of(("a", "a.b")), input_tokens=choose.one_of((None, 0, 7)))

    def booked(self, namespace: str, run_id: UUID, call: AiCall, *, first: bool, at_once: bool) -> None:
        """Takes in that a call is on record.

        Args:
            namespace: The tenant.
            run_id: The run that it was told of.
            call: As it was told.
            first: Whether the answer said that this was its first record, or the first that was not open.
            at_once: Whether others told of the same id at the same time, and may have been first.
        """
        known = self._booked.get((namespace, call.id))
        if known is not None and first:
            # Of two that were told at the same time, the one that is not open may be heard of first.
            assert known[1].is_open != call.is_open
        is_better = known is None or (known[1].is_open and not call.is_open)
        if is_better and (first or not at_once):
            self._booked[namespace, call.id] = (run_id, call)

    def check(self, run_id: UUID, details: RunDetails) -> None:
        """I7: the totals of a run are the sum of its calls: those that the world knows of, and no other."""
        self.submitted.check(run_id, details)
        calls = [call for known, call in self._booked.values() if known == run_id]
        cost = sum((call.cost for call in calls if call.cost is not None), Decimal(0))
        tokens = sum(call.tokens for call in calls)
        run, usage = details.run, details.usage
        assert (run.total_cost, run.total_tokens) == (usage.cost, usage.input_tokens + usage.output_tokens)
        assert (usage.calls, usage.cost) == (len(calls), cost)
        assert (usage.unknown_costs, run.total_tokens) == (sum(call.cost is None for call in calls), tokens)
        assert 0 <= usage.wasted_cost <= usage.cost


def bar_cost(seen: tuple[RunDetails, Any]) -> tuple[RunDetails, Any]:
    """What is seen of a run, but what was spent: that alone may change after a cancellation."""
    details, events = seen
    run = replace(details.run, version=0, total_cost=Decimal(0), total_tokens=0)
    return dataclasses.replace(details, run=run, usage=UsageSum(), submissions=()), events
