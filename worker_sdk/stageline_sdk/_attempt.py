"""One attempt at one stage, step by step: open, call, close. Knows neither loops nor threads nor processes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from stageline_sdk._failures import final_failure, outcome_of_error, refused_value
from stageline_sdk._job import (
    Completed,
    ContextSink,
    Job,
    NotReady,
    Outcome,
    ResumeToken,
    StageFailure,
    WaitsOutside,
)
from stageline_sdk._payload import NulCharacterError, encode
from stageline_sdk._schemas import type_name
from stageline_sdk.ai._runtime import AiRuntime
from stageline_sdk.cancellation import CancelSignal
from stageline_sdk.context import Context, context_for
from stageline_sdk.empty import NoInput
from stageline_sdk.errors import StageExitError
from stageline_sdk.stage import Stage
from stageline_sdk.suspension import StillWaiting, Suspended

AnyStage = Stage[Any, Any, Any]

_UNWRITABLE = (ValidationError, PydanticSerializationError, NulCharacterError)


@dataclass(frozen=True, slots=True)
class Call:
    """A function of a stage, ready to be called.

    Attributes:
        function: The stage's function, or its check function.
        arguments: What to call it with; the first one is the context.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    @property
    def resume_tokens(self) -> tuple[ResumeToken, ...]:
        """The tokens that it gave away so far."""
        context: Context[Any, Any] = self.arguments[0]
        return tuple(context._resume_tokens)  # noqa: SLF001 - the context is the runtime's


def open_call(
    stage: AnyStage, job: Job, sink: ContextSink, cancelled: CancelSignal, ai: AiRuntime | None = None
) -> Call | StageFailure:
    """Parse what the job carries with the stage's types, and return what to call; a failure if a type refuses it."""
    config = _read_config(stage, job)
    if isinstance(config, StageFailure):
        return config
    if job.kind == "CHECK":
        return _open_check(stage, job, context_for(job, NoInput(), config, sink, cancelled, ai))
    given: Any = NoInput()
    if not stage.accepts_any_input:
        try:
            given = stage.input_adapter.validate_json(job.input)
        except ValidationError as error:
            return refused_value("INVALID_INPUT", "input", type_name(stage.input_type), error)
    return Call(stage.function, (context_for(job, given, config, sink, cancelled, ai),))


def close_call(stage: AnyStage, job: Job, call: Call, value: Any) -> Outcome:
    """Return what the value that the stage's function returned means."""
    if isinstance(value, Suspended):
        return _suspend(stage, job, value, call.resume_tokens)
    if isinstance(value, StillWaiting):
        return _wait_on(stage, job, value)
    try:
        return Completed(encode(stage.output_adapter, value))
    except _UNWRITABLE as error:
        return refused_value("INVALID_OUTPUT", "output", type_name(stage.output_type), error)


def run_blocking(
    stage: AnyStage, job: Job, sink: ContextSink, cancelled: CancelSignal, ai: AiRuntime | None = None
) -> Outcome:
    """Run a whole attempt of a plain `def` in this thread. Only KeyboardInterrupt and its like leave it as exceptions."""
    try:
        call = open_call(stage, job, sink, cancelled, ai)
        if isinstance(call, StageFailure):
            return call
        return close_call(stage, job, call, call_guarded(call))
    except Exception as error:  # noqa: BLE001 - whatever a stage raises is the attempt's outcome
        return outcome_of_error(error, cancelled)


def call_guarded(call: Call) -> Any:
    """Call a plain function; its `sys.exit()` becomes an error.

    Raises:
        StageExitError: The function called `sys.exit()`.
    """
    try:
        return call.function(*call.arguments)
    except SystemExit as exit_:
        raise StageExitError(f"the stage called sys.exit({exit_.code!r})") from exit_


async def await_guarded(call: Call) -> Any:
    """The same for an `async def`.

    Raises:
        StageExitError: The function called `sys.exit()`.
    """
    try:
        return await call.function(*call.arguments)
    except SystemExit as exit_:
        raise StageExitError(f"the stage called sys.exit({exit_.code!r})") from exit_


def _read_config(stage: AnyStage, job: Job) -> BaseModel | StageFailure:
    try:
        return stage.config_type.model_validate_json(job.config)
    except ValidationError as error:
        return refused_value("INVALID_CONFIG", "config", type_name(stage.config_type), error)


def _open_check(stage: AnyStage, job: Job, context: Context[Any, Any]) -> Call | StageFailure:
    if stage.check_function is None:
        return _misused(stage, "is suspended, but this version of it has no check function")
    try:
        state = stage.state_adapter.validate_json(job.state or b"null")
    except ValidationError as error:
        return refused_value("INVALID_INPUT", "state of the suspension", "the check function's state", error)
    return Call(stage.check_function, (context, state))


def _suspend(stage: AnyStage, job: Job, suspended: Suspended, tokens: tuple[ResumeToken, ...]) -> Outcome:
    if stage.mode != "async-batch":
        return _misused(stage, 'returned Suspended, but is not of mode "async-batch"')
    if job.kind == "CHECK":
        return _misused(stage, "returned Suspended from its check function, which says StillWaiting instead")
    if suspended.never_poll and not tokens:
        return _misused(
            stage, "returned Suspended(never_poll=True) without a token: call ctx.resume_token() first"
        )
    state = _encode_state(stage, suspended.state)
    if isinstance(state, StageFailure):
        return state
    return WaitsOutside(
        state,
        suspended.poll_interval,
        suspended.max_wait,
        suspended.first_check,
        suspended.never_poll,
        tokens,
    )


def _wait_on(stage: AnyStage, job: Job, waiting: StillWaiting) -> Outcome:
    if job.kind != "CHECK":
        return _misused(stage, "returned StillWaiting, which only its check function may")
    if waiting.state is None:
        return NotReady(waiting.next_check)
    state = _encode_state(stage, waiting.state)
    return state if isinstance(state, StageFailure) else NotReady(waiting.next_check, state)


def _encode_state(stage: AnyStage, state: Any) -> bytes | StageFailure:
    try:
        return encode(stage.state_adapter, state)
    except _UNWRITABLE as error:
        return refused_value("INVALID_OUTPUT", "state of the suspension", "the check function's state", error)


def _misused(stage: AnyStage, what: str) -> StageFailure:
    return final_failure(
        "INVALID_OUTPUT", "stageline_sdk.errors.DefinitionError", f"stage {stage.id!r} {what}"
    )
