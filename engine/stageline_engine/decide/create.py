"""Accepting a run: it begins with its first group ready, in the same transaction."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from stageline_engine import events
from stageline_engine.decide.advance import start_group
from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.model.run import RunError, RunRow, RunState


@dataclass(frozen=True, slots=True)
class AcceptedRun:
    """A creation whose every field has been checked; config has the stages' defaults merged in."""

    workflow: RegisteredWorkflow
    input: str
    config: str
    priority: int
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: tuple[events.Annotation, ...] = ()
    start_at: datetime | None = None


def start_run(workflow: RegisteredWorkflow, now: datetime) -> Iterator[events.Event]:
    """Yields the start of a run that waited, or that is just being created."""
    timeout = workflow.definition.run_timeout
    yield events.RunStarted(now + timeout if timeout else None)
    yield from start_group(workflow, 1, now)


CLAIM_FAILED = "CLAIM_FAILED"
"""Error type of a run that waited and could not be started."""


def fail_start(fault: str) -> events.RunFailed:
    """Returns the end of a run that cannot be started.

    Args:
        fault: What stood in the way, for a person.
    """
    return events.RunFailed(RunError(CLAIM_FAILED, f"The run could not be started: {fault}"))


def decide_create(accepted: AcceptedRun, run_id: UUID, now: datetime) -> Iterator[events.Event]:
    """Yields the birth of a run, and the start of its first group unless it must wait for its time."""
    workflow = accepted.workflow
    run = RunRow(
        id=run_id,
        namespace=workflow.namespace,
        workflow_name=workflow.definition.name,
        workflow_version=workflow.version,
        state=RunState.PENDING,
        priority=accepted.priority,
        current_group=0,
        open_stages=0,
        failed_stages=0,
        event_sequence=0,
        version=0,
        created_at=now,
        start_at=accepted.start_at,
    )
    yield events.RunCreated(run, accepted.input, accepted.config, accepted.labels)
    for annotation in accepted.annotations:
        yield events.AnnotationAdded(annotation)
    if accepted.start_at is None or accepted.start_at <= now:
        yield from start_run(workflow, now)
