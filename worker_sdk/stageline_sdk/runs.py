"""What the client tells of runs: plain, frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import TypeAdapter

from stageline_sdk.submissions import Submission

OutputT = TypeVar("OutputT")


class RunStatus(StrEnum):
    """Where a run stands. Equal to its name as text: `run.status == "COMPLETED"`."""

    UNSPECIFIED = "UNSPECIFIED"
    """A status that this version of the SDK does not know."""
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def has_ended(self) -> bool:
        """Whether it is COMPLETED, FAILED or CANCELLED."""
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class StageStatus(StrEnum):
    """Where a stage of a run stands. Equal to its name as text."""

    UNSPECIFIED = "UNSPECIFIED"
    """A status that this version of the SDK does not know."""
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run or a stage failed.

    Attributes:
        kind: Who is at fault: a name of `stageline.v1.FailureKind` without its prefix, such as APPLICATION or TIMED_OUT.
        type: Name of the error's type in the stage's language, such as `ValueError`; may be empty.
        message: For people.
        stage_id: The stage that failed; empty when no stage did.
        stack_trace: Of the stage's code; may be empty, and always is in a run's own failure.
    """

    kind: str
    type: str
    message: str
    stage_id: str = ""
    stack_trace: str = ""

    def __str__(self) -> str:
        """Return it in one sentence."""
        where = f"stage {self.stage_id!r}: " if self.stage_id else ""
        return f"{where}{self.type}: {self.message}" if self.type else f"{where}{self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageInfo:
    """One stage of a run.

    Attributes:
        id: Its id.
        name: Its name for people.
        number: Its number in the order of definition; the first stage is 1.
        group: The number of its group; the first group is 1.
        status: Where it stands.
        generation: 1 for the first execution, one more at each rerun; 0 before it ever started.
        attempt: Attempts begun in this generation.
        deliveries: Deliveries to workers in this generation.
        output: Its output as JSON values, when COMPLETED.
        error: Why its last attempt failed; None after a success.
        started_at: When the current or last attempt began.
        ended_at: When it reached its last status in this generation.
        active_time: Time that attempts took in this generation, without waiting.
        waits_for: What it waits for, such as NO_WORKER; empty when it does not wait.
        waits_detail: More about it, for people, such as which stage and labels no worker has; may be empty.
        worker: The worker that holds it; empty when nobody does.
        progress: Share done that its code said last, 0 to 1; None when it said none.
        progress_message: What its code said with that.
        progress_at: When it said so, by the server's clock.
        metrics: Numbers that its code reported.
        submissions: What it submitted elsewhere in all generations, by generation and key. SUSPECTED is one that may be at
            the provider while nobody knows its reference.
    """

    id: str
    name: str
    number: int
    group: int
    status: StageStatus
    generation: int
    attempt: int
    deliveries: int
    output: Any = None
    error: Failure | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    active_time: timedelta = timedelta(0)
    waits_for: str = ""
    waits_detail: str = ""
    worker: str = ""
    progress: float | None = None
    progress_message: str = ""
    progress_at: datetime | None = None
    metrics: Mapping[str, float]
    submissions: tuple[Submission, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a workflow.

    Attributes:
        id: Its id, a UUID as text.
        namespace: The namespace that it lives in.
        workflow_name: Its workflow.
        workflow_version: The version that it is pinned to.
        status: Where it stands.
        priority: 0 to 100; higher is handed out first.
        labels: As given when it was created.
        input: What it was started with, as JSON values. None unless the whole run was asked for (`get_run`).
        config: Its config by stage id, as given. None unless the whole run was asked for.
        output: Its output as JSON values, when COMPLETED and the whole run was asked for.
        error: Why it failed; None unless FAILED.
        stages: Its stages in the order of definition. Empty unless the whole run was asked for.
        created_at: When it was created, by the server's clock, with a time zone; so are the other times.
        start_at: The time before which it was not to be started; None for one that was to start at once.
        started_at: When its first group was started.
        ended_at: When it ended.
        total_cost_usd: Sum of the costs of its AI calls, in US dollars.
        total_tokens: Sum of their tokens.
        ai_call_count: Number of its AI calls; 0 in lists, as the two that follow.
        unknown_cost_count: Those whose cost is unknown, and so not in the sum.
        wasted_cost_usd: What was spent for work that did not count in the end, as far as is known; part of the sum.
        event_sequence: Number of the last event that this answer reflects.
        cancel_reason: Why it was cancelled, as somebody said; may be empty.
        rerun_count: Number of reruns so far.
    """

    id: str
    namespace: str
    workflow_name: str
    workflow_version: int
    status: RunStatus
    priority: int
    labels: Mapping[str, str]
    input: Any = None
    config: Any = None
    output: Any = None
    error: Failure | None = None
    stages: tuple[StageInfo, ...] = ()
    created_at: datetime
    start_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    total_cost_usd: Decimal = Decimal(0)
    total_tokens: int = 0
    ai_call_count: int = 0
    unknown_cost_count: int = 0
    wasted_cost_usd: Decimal = Decimal(0)
    event_sequence: int = 0
    cancel_reason: str = ""
    rerun_count: int = 0

    @property
    def duration(self) -> timedelta | None:
        """From creation to end; None while it has not ended."""
        return self.ended_at - self.created_at if self.ended_at else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a run's story. `event.proto` lists the types and what their payloads hold; new ones may come.

    Attributes:
        run_id: The run.
        sequence: Its place in the run's story, from 1, without gaps.
        type: What happened, such as `stage:completed`.
        stage_id: The stage, for events of a stage; empty else.
        at: When it was decided, by the server's clock, with a time zone.
        payload: What the type says, as JSON values.
    """

    run_id: str
    sequence: int
    type: str
    stage_id: str
    at: datetime
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that a stage's code logged.

    Attributes:
        id: Unique in the run, grows in the order of storing.
        stage_id: The stage.
        generation: Its generation: grows by one at each rerun.
        attempt: Its attempt.
        level: DEBUG, INFO, WARNING or ERROR.
        message: The line.
        fields: Key-value details, as JSON values.
        at: When it was logged, by the worker's clock, with a time zone.
    """

    id: int
    stage_id: str
    generation: int
    attempt: int
    level: str
    message: str
    fields: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A note on a run.

    Attributes:
        id: Unique in the run.
        key: A dotted lower-case name.
        value: What it says, as JSON values.
        details: More about it, as JSON values.
        scope: What it is about: `run`, `stage`, `ai_call` or a word of its maker's.
        scope_id: Which one; may be empty.
        stage_id: The stage that made it; empty when a client did.
        generation: Of that stage; 0 when a client made it.
        attempt: Of that stage; 0 when a client made it.
        actor: Who says it, as `kind:id`; empty when that is not said.
        at: When the server booked it, with a time zone.
    """

    id: str
    key: str
    value: Any
    details: Mapping[str, Any]
    scope: str
    scope_id: str
    stage_id: str
    generation: int
    attempt: int
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended.

    Attributes:
        run_id: The run.
        status: COMPLETED, FAILED or CANCELLED.
        output: Its output as JSON values; None unless COMPLETED.
        stages: Its stages in the order of definition, with their outputs and errors.
        duration: From creation to end.
        error: Why it failed; None unless FAILED.
        run: The whole run.
    """

    run_id: str
    status: RunStatus
    output: Any
    stages: tuple[StageInfo, ...]
    duration: timedelta
    error: Failure | None
    run: Run

    @property
    def is_completed(self) -> bool:
        """Whether every stage is complete, and so the output is there."""
        return self.status is RunStatus.COMPLETED

    def output_as(self, kind: type[OutputT]) -> OutputT:
        """Return the output as a pydantic model, or as any other type that pydantic knows.

        Raises:
            pydantic.ValidationError: The output does not fit; so too when the run did not complete.
        """
        return TypeAdapter(kind).validate_python(self.output)

    def stage(self, stage_id: str) -> StageInfo:
        """Return one stage.

        Raises:
            LookupError: The run has no stage of this id.
        """
        for each in self.stages:
            if each.id == stage_id:
                return each
        raise LookupError(
            f"run {self.run_id} has no stage {stage_id!r}; its stages: {', '.join(s.id for s in self.stages)}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredStage:
    """One stage of a registered workflow. Schemas are there only when one workflow was asked for.

    Attributes:
        id: Its id.
        name: Its name for people.
        group: The number of its group; the first group is 1.
        mode: `sync` or `async-batch`.
        description: For people; may be empty.
        dependencies: Ids of stages whose outputs it reads besides its input.
        input_schema: JSON Schema; `{}` accepts anything. Likewise the others.
        output_schema: See above.
        config_schema: See above.
        default_config: Config values that hold where a run sets none.
        requires: Labels that a worker must have to be given its jobs.
    """

    id: str
    name: str
    group: int
    mode: str
    description: str
    dependencies: tuple[str, ...]
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]
    config_schema: Mapping[str, Any]
    default_config: Mapping[str, Any]
    requires: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredWorkflow:
    """One version of a workflow, as the server has it.

    Attributes:
        namespace: The namespace that it lives in.
        name: Its name.
        version: 1 for the first definition of this name, then 2, 3 and so on.
        digest: SHA-256 of the definition, in hexadecimal.
        title: For people; may be empty.
        description: For people; may be empty.
        input_schema: JSON Schema of a run's input; `{}` accepts anything.
        stages: Its stages in the order of definition.
        created_at: When this version was registered.
    """

    namespace: str
    name: str
    version: int
    digest: str
    title: str
    description: str
    input_schema: Mapping[str, Any]
    stages: tuple[RegisteredStage, ...]
    created_at: datetime
