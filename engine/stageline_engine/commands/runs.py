"""Commands about whole runs, and their results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from stageline_engine.commands.base import Command
from stageline_engine.commands.outcomes import Completed, Failed
from stageline_engine.events import Annotation, StageError
from stageline_engine.limits import PRIORITY_DEFAULT
from stageline_engine.model.run import RunRow, RunState


@dataclass(frozen=True, slots=True)
class CreateRun(Command["RunCreation"]):
    """``run.create``: accept a run and make its first group ready, in one transaction.

    Attributes:
        namespace: The tenant.
        workflow_name: Which workflow.
        workflow_version: Which version; 0 means the newest.
        input: JSON text, as UTF-8; validated against the workflow's input schema.
        config: JSON text of an object keyed by stage id; each slice is merged over the stage's defaults, field by field.
        priority: 0 to 100.
        labels: Free key-values.
        annotations: Remarks to begin with.
        start_at: Not started before this time; None starts the first group in the same transaction.
        idempotency_key: Makes a repeat return the first result; empty means none.
    """

    namespace: str
    workflow_name: str
    input: bytes
    workflow_version: int = 0
    config: bytes = b"{}"
    priority: int = PRIORITY_DEFAULT
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()
    start_at: datetime | None = None
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class RunCreation:
    """Result of ``CreateRun``.

    Attributes:
        run_id: The run.
        workflow_version: The version that it is pinned to.
        replayed: Whether an earlier call with the same key had made it.
        run: The row as this call made it, so that an answer needs no read; None where it was replayed.
    """

    run_id: UUID
    workflow_version: int
    replayed: bool = False
    run: RunRow | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class CancelRun(Command["RunCancellation"]):
    """``run.cancel``: end a run that has not ended, with its stages and jobs."""

    namespace: str
    run_id: UUID
    reason: str = ""
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class RunCancellation:
    """Result of ``CancelRun``.

    Attributes:
        cancelled: False when the run had ended already: nothing was changed.
        state: The run's state after the call.
    """

    cancelled: bool
    state: RunState


@dataclass(frozen=True, slots=True)
class TransitionRun(Command["RunTransition"]):
    """``run.transition``: bring a run to where its rows say that it should be. A repair; healthy runs are left alone."""

    run_id: UUID


@dataclass(frozen=True, slots=True)
class RunTransition:
    """Result of ``TransitionRun``: ``action`` is ``noop``, ``repaired``, ``advanced``, ``completed`` or ``failed``."""

    action: str


@dataclass(frozen=True, slots=True)
class RerunRun(Command["RunRerunResult"]):
    """``run.rerunFrom``: run an ended run again from the group of a stage on.

    Attributes:
        namespace: The tenant.
        run_id: A COMPLETED or FAILED run.
        from_stage_id: The stage; its whole group and all after it run again, in a new generation.
        reason: Why, for people.
        config: JSON text of the whole config to use from now on; None keeps the run's.
        idempotency_key: Makes a repeat return the first result; empty means none.
    """

    namespace: str
    run_id: UUID
    from_stage_id: str
    reason: str = ""
    config: bytes | None = None
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class RunRerunResult:
    """Result of ``RerunRun``: the generation that now runs, and the stages that were taken away for it."""

    generation: int
    discarded_stage_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnnotateRun(Command["RunAnnotated"]):
    """``annotation.attach``: remarks about a run in any state. Those whose id the run has already change nothing.

    Attributes:
        namespace: The tenant.
        run_id: The run.
        annotations: The remarks.
        stage_number: The stage that says it; 0 means the outside.
        lease_token: The lease under which a stage says it: refused where that no longer counts.
    """

    namespace: str
    run_id: UUID
    annotations: tuple[Annotation, ...]
    stage_number: int = 0
    lease_token: UUID | None = None


@dataclass(frozen=True, slots=True)
class RunAnnotated:
    """Result of ``AnnotateRun``: ids of those that were new."""

    added: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckNow:
    """The outside wishes a suspended stage to be checked now."""


WaitOutcome = Completed | Failed | StageError | CheckNow
"""How the outside ends a wait, or looks after it. ``Failed`` leaves what follows to the stage's retry policy; a bare
``StageError`` is final."""


@dataclass(frozen=True, slots=True)
class ResumeStage(Command["StageResumed"]):
    """``stage.resume``: end the wait of a suspended stage from outside, by a single-use token.

    Attributes:
        namespace: The tenant.
        run_id: The run.
        stage_id: The stage.
        token: The token itself; only its hash is stored.
        outcome: An output, a failure, or a check now. Only the first two use the token up.
    """

    namespace: str
    run_id: UUID
    stage_id: str
    token: bytes
    outcome: WaitOutcome


@dataclass(frozen=True, slots=True)
class StageResumed:
    """Result of ``ResumeStage``: ``replayed`` where the token had been used with the same outcome before."""

    state: RunState
    replayed: bool = False
