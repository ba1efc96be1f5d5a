"""What the outside is told of an event: its public name and payload.

The payloads are a public contract (``docs/events.md`` and ``event.proto`` describe them). Keys are snake_case, durations
are whole milliseconds with the unit in the key, costs are decimal strings.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from stageline_engine import events
from stageline_engine.apply.focus import Focus
from stageline_engine.limits import EVENT_OUTPUT_BYTES_MAX
from stageline_engine.model.run import RunRow
from stageline_engine.model.stored_payload import is_reference

Published = tuple[str, dict[str, Any]]


def milliseconds(start: datetime | None, end: datetime) -> int:
    """Whole milliseconds between two times; 0 where the first is unknown."""
    return round((end - start).total_seconds() * 1000) if start else 0


def publish(event: events.Event, before: Focus, now: datetime) -> Iterator[tuple[str, bytes]]:
    """Yields the public events, as (type, JSON payload), that tell of one domain event.

    Args:
        event: What happened.
        before: The rows before it.
        now: When.
    """
    publisher = PUBLISHERS.get(type(event))
    if publisher is None:
        return
    for name, payload in publisher(event, before, now):
        yield name, orjson.dumps(payload)


def _run_created(event: events.RunCreated, before: Focus, now: datetime) -> Iterator[Published]:
    run = event.run
    yield (
        "workflow:created",
        {
            "workflow_name": run.workflow_name,
            "workflow_version": run.workflow_version,
            "priority": run.priority,
        },
    )


def _run_started(event: events.RunStarted, before: Focus, now: datetime) -> Iterator[Published]:
    yield "workflow:started", {}


def _run_advanced(event: events.RunAdvanced, before: Focus, now: datetime) -> Iterator[Published]:
    if event.group > 1:  # the first group's start is workflow:started
        yield "run:advanced", {"group": event.group, "stage_ids": event.stage_ids}


def _run_completed(event: events.RunCompleted, before: Focus, now: datetime) -> Iterator[Published]:
    run = before.existing_run()
    yield "workflow:completed", _totals(run, now) | _output(event.outputs)


def _output(outputs: Mapping[str, str] | None) -> dict[str, Any]:
    """The run's output as JSON: of a single stage its own, of several an object by stage id."""
    if outputs is None or any(map(is_reference, outputs.values())):
        return {"output_omitted": True}
    if sum(len(text.encode()) for text in outputs.values()) > EVENT_OUTPUT_BYTES_MAX:
        return {"output_omitted": True}
    fragments = {stage_id: orjson.Fragment(text) for stage_id, text in outputs.items()}
    return {"output": next(iter(fragments.values())) if len(fragments) == 1 else fragments}


def _totals(run: RunRow, now: datetime) -> dict[str, Any]:
    return {
        "duration_ms": milliseconds(run.started_at, now),
        "total_cost": format(run.total_cost, "f"),
        "total_tokens": run.total_tokens,
    }


def _run_failed(event: events.RunFailed, before: Focus, now: datetime) -> Iterator[Published]:
    error = {"code": event.error.code, "message": event.error.message, "stage_id": event.error.stage_id}
    yield "workflow:failed", {"error": error} | _totals(before.existing_run(), now)


def _run_cancelled(event: events.RunCancelled, before: Focus, now: datetime) -> Iterator[Published]:
    yield "workflow:cancelled", {"reason": event.reason}


def _stage_started(event: events.StageStarted, before: Focus, now: datetime) -> Iterator[Published]:
    yield (
        "stage:started",
        {
            "stage_id": event.stage_id,
            "stage_name": event.stage_name,
            "stage_number": event.number,
            "generation": before.existing_stage().generation,
            "attempt": event.attempt,
            "delivery": event.delivery,
        },
    )


def _stage_progressed(event: events.StageProgressed, before: Focus, now: datetime) -> Iterator[Published]:
    fraction = {} if event.fraction is None else {"fraction": event.fraction}
    yield (
        "stage:progress",
        {"stage_id": event.stage_id, **fraction, "message": event.message, "details": event.details},
    )


def _stage_completed(event: events.StageCompleted, before: Focus, now: datetime) -> Iterator[Published]:
    stage = before.existing_stage()
    yield (
        "stage:completed",
        {
            "stage_id": event.stage_id,
            "attempt": stage.attempt,
            "duration_ms": milliseconds(stage.started_at, now),
            "metrics": event.metrics,
        },
    )


def _error(stage_id: str, error: events.StageError, before: Focus, *, terminal: bool) -> Published:
    stage = before.existing_stage()
    payload = {
        "stage_id": stage_id,
        "error": {"type": error.type, "message": error.message},
        "attempt": stage.attempt,
        "terminal": terminal,
    }
    return "stage:failed", payload


def _stage_failed(event: events.StageFailed, before: Focus, now: datetime) -> Iterator[Published]:
    yield _error(event.stage_id, event.error, before, terminal=True)


def _stage_retry_scheduled(
    event: events.StageRetryScheduled, before: Focus, now: datetime
) -> Iterator[Published]:
    yield _error(event.stage_id, event.error, before, terminal=False)
    yield (
        "stage:retry_scheduled",
        {
            "stage_id": event.stage_id,
            "attempt": event.attempt + 1,
            "delivery": before.existing_stage().delivery,
            "delay_ms": round(event.delay.total_seconds() * 1000),
        },
    )


def _stage_requeued(event: events.StageRequeued, before: Focus, now: datetime) -> Iterator[Published]:
    yield (
        "stage:requeued",
        {"stage_id": event.stage_id, "reason": event.reason, "delivery": before.existing_stage().delivery},
    )


def _stage_cancelled(event: events.StageCancelled, before: Focus, now: datetime) -> Iterator[Published]:
    yield "stage:cancelled", {"stage_id": event.stage_id}


def _run_rerun(event: events.RunRerun, before: Focus, now: datetime) -> Iterator[Published]:
    yield (
        "run:rerun",
        {
            "from_stage_id": event.from_stage_id,
            "group": event.group,
            "generation": event.generation,
            "reason": event.reason,
        },
    )


def _annotation_added(event: events.AnnotationAdded, before: Focus, now: datetime) -> Iterator[Published]:
    said = event.annotation
    if said.emit_event:
        yield (
            "annotation:created",
            {
                "annotation_id": said.id,
                "key": said.key,
                "value": orjson.Fragment(said.value),
                "scope": said.scope,
                "scope_id": said.scope_id,
                "actor": {"kind": said.actor_kind, "id": said.actor_id, "version": said.actor_version},
                "generation": said.generation,
                "attempt": said.attempt,
            },
        )


def _stage_suspended(event: events.StageSuspended, before: Focus, now: datetime) -> Iterator[Published]:
    yield (
        "stage:suspended",
        {
            "stage_id": event.stage_id,
            "next_poll_at": event.check_at,
            "wait_until": event.wait_until,
            "waits_for": [condition.label for condition in event.conditions],
        },
    )
    yield "workflow:suspended", {"stage_id": event.stage_id}


def _job_restored(event: events.JobRestored, before: Focus, now: datetime) -> Iterator[Published]:
    yield (
        "stage:requeued",
        {"stage_id": event.stage_id, "reason": "repaired", "delivery": before.existing_stage().delivery},
    )


def _orphan_suspected(event: events.OrphanSuspected, before: Focus, now: datetime) -> Iterator[Published]:
    yield (
        "stage:orphan_suspected",
        {
            "stage_id": event.stage_id,
            "key": event.key,
            "generation": event.generation,
            "attempt": event.attempt,
        },
    )


PUBLISHERS: Mapping[type, Callable[[Any, Focus, datetime], Iterator[Published]]] = {
    events.RunCreated: _run_created,
    events.RunStarted: _run_started,
    events.RunAdvanced: _run_advanced,
    events.RunCompleted: _run_completed,
    events.RunFailed: _run_failed,
    events.RunCancelled: _run_cancelled,
    events.StageStarted: _stage_started,
    events.StageProgressed: _stage_progressed,
    events.StageCompleted: _stage_completed,
    events.StageFailed: _stage_failed,
    events.StageRetryScheduled: _stage_retry_scheduled,
    events.StageRequeued: _stage_requeued,
    events.StageCancelled: _stage_cancelled,
    events.RunRerun: _run_rerun,
    events.AnnotationAdded: _annotation_added,
    events.StageSuspended: _stage_suspended,
    events.JobRestored: _job_restored,
    events.OrphanSuspected: _orphan_suspected,
}

INTERNAL_EVENTS = frozenset(
    {
        events.StageScheduled,  # the run's start or advance names the stages
        events.StageDiscarded,  # run:rerun says from which group on
        events.CheckStarted,  # a suspended stage may be checked a thousand times
        events.StageStillWaiting,
        events.CheckRequested,
        events.SubmissionChanged,  # between a stage and its provider; what is left over is orphan_suspected
        events.AiCallBooked,  # a stage may make ten thousand; the run's end tells what they cost in all
    }
)
"""Events that the outside is not told of on their own, each with its reason."""
