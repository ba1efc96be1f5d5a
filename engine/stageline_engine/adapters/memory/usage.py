"""The ledger of AI calls: reading it, and what it refuses to write."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC
from uuid import UUID

from stageline_engine.adapters.memory.state import MemoryState
from stageline_engine.model.ai_call import AiCallRow, Content, is_wasted
from stageline_engine.ports import BookedCall, UsageDimension, UsageFilter, UsagePosition, UsageSum


class MemoryUsage:
    """The UsageQueries port. See there for what each method promises."""

    def __init__(self, state: MemoryState) -> None:
        """Takes the state to read."""
        self._state = state

    async def list_calls(
        self,
        namespace: str,
        which: UsageFilter,
        *,
        after: UsagePosition | None = None,
        limit: int,
        with_contents: bool = False,
    ) -> Sequence[BookedCall]:
        """Returns calls, the newest first."""
        found = sorted(self._matching(namespace, which), key=_position, reverse=True)
        page = [row for row in found if after is None or _position(row) < after][:limit]
        return [BookedCall(row if with_contents else _without_texts(row), self._wasted(row)) for row in page]

    async def sum_calls(
        self, namespace: str, which: UsageFilter, group_by: Sequence[UsageDimension] = (), *, limit: int
    ) -> Sequence[UsageSum]:
        """Sums calls in groups, the most costly first."""
        sums: dict[tuple[str, ...], UsageSum] = {} if group_by else {(): UsageSum()}
        for row in self._matching(namespace, which):
            group = tuple(_value(row, dimension) for dimension in group_by)
            before = sums.get(group, UsageSum(group=group))
            sums[group] = _added(before, row, wasted=self._wasted(row))
        return sorted(sums.values(), key=lambda one: (-one.cost, one.group))[:limit]

    def _matching(self, namespace: str, which: UsageFilter) -> list[AiCallRow]:
        return [
            row for row in self._state.ai_calls.values() if row.namespace == namespace and which.matches(row)
        ]

    def _wasted(self, row: AiCallRow) -> bool:
        return wasted(self._state, row)


def wasted(state: MemoryState, row: AiCallRow) -> bool:
    """Whether a call was wasted, as things stand."""
    if row.run_id is None:
        return False
    stage = state.stages.get(row.run_id, {}).get(row.stage_number)
    lost = (row.run_id, row.stage_number, row.lease_token) in state.lost_leases
    return is_wasted(row, stage, lease_lost=lost)


def total(state: MemoryState, run_id: UUID) -> UsageSum:
    """Sums a run's calls."""
    found = UsageSum()
    for row in state.ai_calls.values():
        if row.run_id == run_id:
            found = _added(found, row, wasted=wasted(state, row))
    return found


def _position(row: AiCallRow) -> UsagePosition:
    return UsagePosition(row.started_at, row.call.id)


def _without_texts(row: AiCallRow) -> AiCallRow:
    call = replace(row.call, prompt=_measured(row.call.prompt), response=_measured(row.call.response))
    return replace(row, call=call)


def _measured(content: Content | None) -> Content | None:
    return None if content is None else replace(content, json=None)


def _value(row: AiCallRow, dimension: UsageDimension) -> str:
    call = row.call
    values = {
        UsageDimension.MODEL_KEY: call.model_key,
        UsageDimension.PROVIDER: call.provider,
        UsageDimension.TOPIC: call.topic,
        UsageDimension.RUN: str(row.run_id or ""),
        UsageDimension.STAGE: row.stage_id,
        UsageDimension.CALL_TYPE: call.call_type.value,
        UsageDimension.DAY: row.started_at.astimezone(UTC).date().isoformat(),
    }
    return values[dimension]


def _added(before: UsageSum, row: AiCallRow, *, wasted: bool) -> UsageSum:
    call, cost = row.call, row.call.cost or 0
    return UsageSum(
        group=before.group,
        calls=before.calls + 1,
        input_tokens=before.input_tokens + (call.input_tokens or 0),
        output_tokens=before.output_tokens + (call.output_tokens or 0),
        cached_input_tokens=before.cached_input_tokens + (call.cached_input_tokens or 0),
        reasoning_tokens=before.reasoning_tokens + (call.reasoning_tokens or 0),
        cost=before.cost + cost,
        unknown_costs=before.unknown_costs + (call.cost is None),
        wasted_calls=before.wasted_calls + wasted,
        wasted_cost=before.wasted_cost + (cost if wasted else 0),
    )
