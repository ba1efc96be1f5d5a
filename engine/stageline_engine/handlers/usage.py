"""``usage.record`` for a batch, and the AI calls that come along with reports.

Whoever books a call to a run holds the run's lock, so that the run's totals are the sum of its calls at any moment.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from uuid import UUID

from stageline_engine.acceptance_usage import ai_call_violations
from stageline_engine.commands import AiCallRecorded, RecordAiCall, ReportJob
from stageline_engine.decide.usage import leased_call, unleased_call
from stageline_engine.decide.view import RunView
from stageline_engine.events import AiCallBooked
from stageline_engine.handlers.context import Batch
from stageline_engine.handlers.runs import run_not_found
from stageline_engine.model.ai_call import AiCall, AiCallRow
from stageline_engine.rejections import Reason, Rejection, out_of_limits

STAGE_IDS_TOLD_MAX = 50
"""Stage ids named in a refusal."""


async def record_ai_calls(batch: Batch, commands: Sequence[RecordAiCall]) -> list[AiCallRecorded | Rejection]:
    """Books AI calls, each once."""
    wanted: dict[UUID, frozenset[int]] = {}
    for command in commands:
        if command.run_id is not None:
            number = {command.stage_number} if command.stage_number else set()
            wanted[command.run_id] = wanted.get(command.run_id, frozenset()) | number
    await batch.load(wanted)
    fresh = await FreshAiCalls.find(batch, ((command.namespace, [command.call]) for command in commands))
    return [_record(batch, command, fresh) for command in commands]


def _record(batch: Batch, command: RecordAiCall, fresh: "FreshAiCalls") -> AiCallRecorded | Rejection:
    row = _row(batch, command)
    if isinstance(row, Rejection):
        return row
    news = fresh.take(command.namespace, command.call)
    if news is not None:
        _book(batch, row, closes=news is News.CLOSES)
    return AiCallRecorded(replayed=news is None)


def _row(batch: Batch, command: RecordAiCall) -> AiCallRow | Rejection:
    wrong = tuple(ai_call_violations(command.call))
    if wrong:
        return out_of_limits(wrong)
    if command.run_id is None:
        return unleased_call(command.namespace, command.call, batch.space.now)
    view = batch.space.view(command.run_id)
    if view is None or view.run.namespace != command.namespace:
        return run_not_found(command.namespace, str(command.run_id))
    if command.lease_token is None:
        if command.stage_id and command.stage_id not in view.workflow.definition.number_by_id:
            return _stage_not_found(view, command.stage_id)
        return unleased_call(command.namespace, command.call, batch.space.now, view, command.stage_id)
    row = leased_call(view, command.stage_number, command.lease_token, command.call, batch.space.now)
    return row or _stage_not_found(view, str(command.stage_number))


def _book(batch: Batch, row: AiCallRow, *, closes: bool) -> None:
    if row.run_id is None:
        batch.space.book(row, closes=closes)
    else:
        batch.space.apply_all(row.run_id, [AiCallBooked(row, closes)])


def _stage_not_found(view: RunView, stage_id: str) -> Rejection:
    name, version = view.run.workflow_name, view.run.workflow_version
    facts = {
        "workflow_name": name,
        "workflow_version": str(version),
        "stage_id": stage_id[:128],
        "valid_stage_ids": ",".join(list(view.workflow.definition.number_by_id)[:STAGE_IDS_TOLD_MAX]),
    }
    message = f"Workflow {name!r} version {version} has no stage {stage_id[:128]!r}."
    return Rejection(Reason.STAGE_NOT_FOUND, message, facts)


def book_reported(
    batch: Batch, command: ReportJob, view: RunView | None, fresh: "FreshAiCalls"
) -> tuple[UUID, ...]:
    """Books the AI calls of a report, whatever becomes of the report itself.

    Returns:
        Ids of those that are on record now, by this report or before; none where the report names no run of its namespace.
    """
    if view is None or view.run.namespace != command.namespace:
        return ()
    booked = []
    for call in command.ai_calls:
        row = leased_call(view, command.stage_number, command.lease_token, call, batch.space.now)
        if row is None or any(ai_call_violations(call)):
            continue
        news = fresh.take(command.namespace, call)
        if news is not None:
            _book(batch, row, closes=news is News.CLOSES)
        booked.append(call.id)
    return tuple(booked)


class News(Enum):
    """What a record of a call is to the ledger."""

    FIRST = "the first of its id"
    CLOSES = "the first that tells how an open call ended"


class FreshAiCalls:
    """Tells AI calls that are new from those that are booked already; the first record of an id that is not open counts."""

    def __init__(self, known: Mapping[tuple[str, UUID], bool]) -> None:
        """Takes what is stored already, and whether it is open; see ``find``."""
        self._known = dict(known)

    @classmethod
    async def find(cls, batch: Batch, told: Iterable[tuple[str, Sequence[AiCall]]]) -> "FreshAiCalls":
        """Looks up which calls of a batch are stored already; asks nothing where there are none.

        Args:
            batch: The batch, with its runs locked.
            told: Namespaces, each with calls.
        """
        wanted: dict[str, set[UUID]] = {}
        for namespace, calls in told:
            if calls:
                wanted.setdefault(namespace, set()).update(call.id for call in calls)
        lookup: Mapping[str, set[UUID]] = wanted
        return cls(await batch.work.known_ai_calls(lookup) if wanted else {})

    def take(self, namespace: str, call: AiCall) -> News | None:
        """Says what a record tells that is new, None for nothing, and knows it from then on."""
        is_open = self._known.get((namespace, call.id))
        if is_open is False or (is_open and call.is_open):
            return None
        self._known[namespace, call.id] = call.is_open
        return News.FIRST if is_open is None else News.CLOSES
