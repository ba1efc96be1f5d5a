"""Commands about whole runs, and their results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from stageline_engine.commands.base import Command
from stageline_engine.commands.outcomes import Completed, Failed
from stageline_engine.events import Annotation, StageError
from stageline_engine.limits import PRIORITY_DEFAULT
from stageline_engine.model.run import RunRow, RunState


@dataclass(frozen=True, slots=True)
class CreateRun(Command["RunCreation"]):
    """``run.create``: accept a run and make its first group ready, in one transaction.

    A run whose start is ahead is accepted as PENDING, and ``run.claimPending`` starts it at its moment. The run is pinned to
    the version that it is created with. Every fault of a request is told at once.

    Reached by ``RunService.CreateRun`` and, many in one call, ``RunService.BatchCreateRuns``; ``Client.create_run`` and
    ``Client.run_and_wait``; ``stageline run start``.

    Attributes:
        namespace: The tenant.
        workflow_name: Which workflow.
        workflow_version: Which version; 0 means the newest.
        input: JSON text, as UTF-8, of at most ``PAYLOAD_INLINE_BYTES_MAX``; validated against the workflow's input schema.
        config: JSON text of an object keyed by stage id; each slice is merged over the stage's defaults, field by field. The
            merged text has at most ``PAYLOAD_INLINE_BYTES_MAX``.
        priority: ``PRIORITY_MIN`` to ``PRIORITY_MAX``; higher runs first.
        labels: Free key-values, at most ``LABELS_MAX``.
        annotations: Remarks to begin with, at most ``ANNOTATIONS_PER_CALL_MAX``.
        start_at: Not started before this time, at most ``START_DELAY_MAX`` ahead; None, or a time that has passed, starts the
            first group in the same transaction.
        start_delay: Instead of ``start_at``: so long after its creation, at most ``START_DELAY_MAX``. Unlike a time that the
            caller works out, it is the same in a repeat.
        idempotency_key: Makes a repeat return the first result, at most ``REQUEST_ID_LENGTH_MAX``; empty means none.
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
    start_delay: timedelta | None = None
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
    """``run.cancel``: end a run that has not ended, with its stages and jobs.

    Workers that hold its jobs are told to stop. Reports that come later are discarded, bar what they cost. A run that has
    ended stays as it is: the result says so, and over the wire that is RUN_NOT_CANCELLABLE unless it is CANCELLED already.

    Reached by ``RunService.CancelRun``; ``Client.cancel_run``; ``stageline run cancel``.

    Attributes:
        namespace: The tenant.
        run_id: The run.
        reason: Why, for people, at most ``CANCEL_REASON_LENGTH_MAX``.
        idempotency_key: Makes a repeat return the first result, at most ``REQUEST_ID_LENGTH_MAX``; empty means none.
    """

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
    """``run.transition``: bring a run to where its rows say that it should be. A repair; healthy runs are left alone.

    Every report advances its run in its own transaction, so this finds something to do only where rows were changed by hand.

    A repeat finds a healthy run and does nothing.

    Reached by embedding the kernel; the server uses ``run.reapStuck``, which finds such runs by itself.

    Attributes:
        run_id: The run, of any namespace.
    """

    run_id: UUID


@dataclass(frozen=True, slots=True)
class RunTransition:
    """Result of ``TransitionRun``.

    Attributes:
        action: What was done: ``noop``, ``repaired``, ``advanced``, ``completed`` or ``failed``.
    """

    action: str


@dataclass(frozen=True, slots=True)
class RerunRun(Command["RunRerunResult"]):
    """``run.rerunFrom``: run an ended run again from the group of a stage on.

    Stages before that group keep their outputs. What was spent stays spent: cost and tokens go on from where they were.
    Reports of the generation before are discarded.

    Reached by ``RunService.RerunRun``; ``Client.rerun_run``; ``stageline run rerun``.

    Attributes:
        namespace: The tenant.
        run_id: A COMPLETED or FAILED run.
        from_stage_id: The stage; its whole group and all after it run again, in a new generation.
        reason: Why, for people, at most ``CANCEL_REASON_LENGTH_MAX``.
        config: JSON text of an object keyed by stage id, whose slices take the place of the run's; None keeps all of them.
        idempotency_key: Makes a repeat return the first result, at most ``REQUEST_ID_LENGTH_MAX``; empty means none.
    """

    namespace: str
    run_id: UUID
    from_stage_id: str
    reason: str = ""
    config: bytes | None = None
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class RunRerunResult:
    """Result of ``RerunRun``.

    Attributes:
        generation: Of the stages that run again.
        discarded_stage_ids: Stages whose executions were taken away.
    """

    generation: int
    discarded_stage_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnnotateRun(Command["RunAnnotated"]):
    """``annotation.attach``: keep remarks about a run in any state.

    A repeat changes nothing: each remark has an id, and one that the run has already is passed over.

    Reached by ``WorkerService.Work``, from ``ctx.annotate()``; remarks may also come with ``run.create`` and ``job.report``.
    ``RunService.ListAnnotations``, ``Client.annotations`` and ``stageline run annotations`` read them.

    Attributes:
        namespace: The tenant.
        run_id: The run.
        annotations: The remarks, at most ``ANNOTATIONS_PER_CALL_MAX``.
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
    """Result of ``AnnotateRun``.

    Attributes:
        added: Ids of those that were new.
    """

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

    An output that breaks the stage's schema is refused, and the token stays good.

    A repeat with the same outcome gives ``replayed``; another outcome by the same token is refused with RESUME_TOKEN_INVALID.

    Reached by ``RunService.ResumeStage``; ``Client.resume_stage``; ``stageline run resume``.

    Attributes:
        namespace: The tenant.
        run_id: The run.
        stage_id: The stage.
        token: The token itself; only its hash is stored.
        outcome: An output, a failure, or a check now. Only the first two use the token up.
        idempotency_key: Makes a repeat return the first result, a check now's too; empty means that the token does.
    """

    namespace: str
    run_id: UUID
    stage_id: str
    token: bytes
    outcome: WaitOutcome
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class StageResumed:
    """Result of ``ResumeStage``.

    Attributes:
        state: The run's state after the call.
        replayed: Whether the key, or the token with the same outcome, had been used before.
    """

    state: RunState
    replayed: bool = False
