"""Stages: functions whose annotations are their schemas."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar, overload

from pydantic import BaseModel, TypeAdapter

from stageline_sdk._labels import checked_labels
from stageline_sdk._limits import DESCRIPTION_BYTES_MAX, TITLE_LENGTH_MAX
from stageline_sdk._names import require_stage_id, title_of
from stageline_sdk._schemas import Schema, adapter_for, default_config_of, default_violations, schema_of
from stageline_sdk._signature import read_check_state, read_signature
from stageline_sdk.context import Context
from stageline_sdk.empty import NoInput
from stageline_sdk.errors import DefinitionError, MissingCheckError
from stageline_sdk.retry import RetryPolicy, StageTimeouts
from stageline_sdk.suspension import Suspended

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
ConfigT = TypeVar("ConfigT", bound=BaseModel)
InputT_contra = TypeVar("InputT_contra", contravariant=True)
OutputT_co = TypeVar("OutputT_co", covariant=True)
ConfigT_contra = TypeVar("ConfigT_contra", bound=BaseModel, contravariant=True)

StageMode = Literal["sync", "async-batch"]
Executor = Literal["loop", "thread", "process"]
CheckFunction = Callable[..., Any]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Stage(Generic[InputT_contra, OutputT_co, ConfigT_contra]):
    """A stage: what the `@stage` decorator makes of a function. Immutable; compared and hashed by identity.

    Attributes:
        id: Its id, unique in a workflow.
        function: The decorated function.
        input_type: The type of `ctx.input`; NoInput if the stage does not read its input.
        output_type: The type that the function returns.
        config_type: The type of `ctx.config`, a pydantic model.
        name: For people.
        description: For people; may be empty.
        mode: `sync` returns or fails; `async-batch` may also suspend.
        dependencies: Ids of stages in earlier groups whose outputs it reads.
        retry: When a failed attempt is tried again; None leaves it to the server's defaults.
        timeouts: How long things may take; None leaves it to the server's defaults.
        executor: Where the function runs: on the worker's event loop, in a thread, or in a process.
        requires: Labels that a worker must have to be given its jobs.
    """

    id: str
    function: Callable[[Context[InputT_contra, ConfigT_contra]], Any]
    input_type: Any
    output_type: Any
    config_type: type[BaseModel]
    name: str
    description: str = ""
    mode: StageMode = "sync"
    dependencies: tuple[str, ...] = ()
    retry: RetryPolicy | None = None
    timeouts: StageTimeouts | None = None
    executor: Executor = "loop"
    requires: Mapping[str, str] = field(default_factory=dict)
    _checks: list[tuple[CheckFunction, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Stage({self.id!r})"

    @property
    def accepts_any_input(self) -> bool:
        """Whether the stage does not read its input, and so takes whatever comes."""
        return self.input_type is NoInput

    @cached_property
    def input_schema(self) -> Schema:
        """JSON Schema of what the stage can read; `{}` if it accepts anything."""
        return schema_of(self.input_type, "validation")

    @cached_property
    def output_schema(self) -> Schema:
        """JSON Schema of what the stage writes."""
        return schema_of(self.output_type, "serialization")

    @cached_property
    def config_schema(self) -> Schema:
        """JSON Schema of the stage's config."""
        return schema_of(self.config_type, "validation")

    @cached_property
    def default_config(self) -> Mapping[str, Any]:
        """The defaults of the config model's own fields, as JSON values; `{}` if it has none."""
        return default_config_of(self.config_type)

    @cached_property
    def input_adapter(self) -> TypeAdapter[Any]:
        """Reads inputs."""
        return adapter_for(self.input_type)

    @cached_property
    def output_adapter(self) -> TypeAdapter[Any]:
        """Writes and reads outputs."""
        return adapter_for(self.output_type)

    @property
    def check_function(self) -> CheckFunction | None:
        """The function that asks whether suspended work is done; None unless the mode is async-batch."""
        return self._checks[0][0] if self._checks else None

    @cached_property
    def state_adapter(self) -> TypeAdapter[Any]:
        """Reads the state that a suspension left, as the check function declares it.

        Raises:
            MissingCheckError: The stage has no check function.
        """
        if not self._checks:
            raise MissingCheckError(
                f"stage {self.id!r} has no check function: add one with @{self.id}.check", stage_id=self.id
            )
        return adapter_for(self._checks[0][1])

    def check(self, function: CheckFunction) -> CheckFunction:
        """Decorate the function that asks whether suspended work is done. It returns the output, or StillWaiting.

        Example:
            @submit.check
            async def poll(ctx: Context[NoInput, BatchConfig], state: BatchState) -> Report | StillWaiting: ...

        Raises:
            MissingCheckError: The stage's mode is not async-batch.
            DefinitionError: It has a check function already, or the function does not take `ctx` and `state`.
        """
        if self.mode != "async-batch":
            raise MissingCheckError(
                f'stage {self.id!r} has a check function but is not of mode "async-batch": say mode="async-batch"',
                stage_id=self.id,
            )
        if self._checks:
            raise DefinitionError(
                f"stage {self.id!r} has a check function already: {self._checks[0][0].__qualname__}"
            )
        state_type = read_check_state(function, self.id, _callers_names())
        adapter_for(state_type)
        self._checks.append((function, state_type))
        return function


class StageDecorator:
    """What `stage(...)` returns: turns a function into a Stage, with the types of its annotations."""

    def __init__(self, stage_id: str, options: Mapping[str, Any], executor: Executor | None) -> None:
        self._stage_id = stage_id
        self._options = options
        self._executor = executor

    @overload
    def __call__(
        self, function: Callable[[Context[InputT, ConfigT]], Awaitable[OutputT | Suspended]]
    ) -> Stage[InputT, OutputT, ConfigT]: ...
    @overload
    def __call__(
        self, function: Callable[[Context[InputT, ConfigT]], OutputT | Suspended]
    ) -> Stage[InputT, OutputT, ConfigT]: ...
    def __call__(self, function: Callable[[Context[Any, Any]], Any]) -> Stage[Any, Any, Any]:
        """Make the stage.

        Raises:
            DefinitionError: An annotation is missing or cannot be used, or the options contradict the function.
        """
        signature = read_signature(function, self._stage_id, _callers_names())
        made: Stage[Any, Any, Any] = Stage(
            id=self._stage_id,
            function=function,
            input_type=signature.input_type,
            output_type=signature.output_type,
            config_type=signature.config_type,
            executor=self._executor_for(function, signature.is_async),
            **{
                **self._options,
                "description": self._options["description"] or inspect.getdoc(function) or "",
            },
        )
        if signature.may_suspend and made.mode != "async-batch":
            raise DefinitionError(f'stage {made.id!r} may return Suspended: say mode="async-batch"')
        _check_texts(made)
        _check_types(made)
        return made

    def _executor_for(self, function: Callable[..., Any], is_async: bool) -> Executor:
        where = f"stage {self._stage_id!r}"
        if is_async:
            if self._executor is not None:
                raise DefinitionError(
                    f'{where}: an `async def` runs on the event loop, not with executor="{self._executor}"; '
                    "make it a plain `def`"
                )
            return "loop"
        if self._executor == "process" and "<locals>" in function.__qualname__:
            raise DefinitionError(
                f'{where}: executor="process" needs a function at the top of a module, '
                f"which a process can import; {function.__qualname__} is inside another function"
            )
        return self._executor or "thread"


def stage(  # noqa: PLR0913 - one parameter for each option
    stage_id: str,
    *,
    name: str = "",
    description: str = "",
    mode: StageMode = "sync",
    dependencies: "Sequence[Stage[Any, Any, Any] | str]" = (),
    retry: RetryPolicy | None = None,
    timeout: timedelta | StageTimeouts | None = None,
    executor: Literal["thread", "process"] | None = None,
    requires: Mapping[str, str] | None = None,
) -> StageDecorator:
    """Decorate a function to make it a stage. Its annotations are its input, config and output schemas.

    Example:
        @stage("extract-text", timeout=timedelta(minutes=2))
        async def extract_text(ctx: Context[Document, ExtractConfig]) -> Extracted: ...

    Args:
        stage_id: Unique in a workflow: 1 to 128 lower-case letters, digits, `-`, `_` and `.`, the first and last of
            them a letter or digit.
        name: For people, at most 255 characters. Default: the id, as `Extract Text`.
        description: For people, at most 16 KiB. Default: the function's docstring.
        mode: `sync`, the default, returns or raises. `async-batch` may also return Suspended, and needs a `.check`.
        dependencies: Stages of earlier groups, or their ids, whose outputs it reads with `ctx.require()` besides its
            input; they are sent along with the job.
        retry: When a failed attempt is tried again. Default: `RetryPolicy()` as the server has it.
        timeout: How long an attempt may take, or several limits. Default: `StageTimeouts()` as the server has it.
        executor: Where a plain `def` runs: `thread`, the default, or `process`, for work that keeps a CPU busy; then
            input, config and output cross a process boundary and the function must be at the top of its module.
            An `async def` always runs on the worker's event loop.
        requires: Labels that a worker must have to be given its jobs, each with that very value, as in
            `{"gpu": "a100"}`; at most 64. Default: any worker that has the stage gets them.

    Raises:
        InvalidStageIdError: The id, or one of the dependencies, breaks the rule for ids.
        DefinitionError: An option is out of its range, or an annotation is missing (raised when the function is decorated).
    """
    if callable(stage_id):
        raise DefinitionError('a stage needs an id: write @stage("my-stage"), not @stage')
    if mode not in ("sync", "async-batch"):
        raise DefinitionError(f'stage {stage_id!r}: mode must be "sync" or "async-batch", got {mode!r}')
    if executor not in (None, "thread", "process"):
        raise DefinitionError(f'stage {stage_id!r}: executor must be "thread" or "process", got {executor!r}')
    options = {
        "name": name or title_of(require_stage_id(stage_id)),
        "description": description,
        "mode": mode,
        "dependencies": _ids_of(stage_id, dependencies),
        "retry": retry,
        "timeouts": StageTimeouts(start_to_close=timeout) if isinstance(timeout, timedelta) else timeout,
        "requires": checked_labels(requires, f"stage {stage_id!r}"),
    }
    return StageDecorator(require_stage_id(stage_id), options, executor)


def _ids_of(stage_id: str, dependencies: "Sequence[Stage[Any, Any, Any] | str]") -> tuple[str, ...]:
    if isinstance(dependencies, str | Stage):
        raise DefinitionError(
            f"stage {stage_id!r}: dependencies must be a list, as in dependencies=[{dependencies!r}]"
        )
    ids = (each.id if isinstance(each, Stage) else require_stage_id(each) for each in dependencies)
    return tuple(dict.fromkeys(ids))


def _check_texts(made: Stage[Any, Any, Any]) -> None:
    if len(made.name) > TITLE_LENGTH_MAX:
        raise DefinitionError(
            f"stage {made.id!r}: its name may have {TITLE_LENGTH_MAX} characters, got {len(made.name)}"
        )
    size = len(made.description.encode())
    if size > DESCRIPTION_BYTES_MAX:
        raise DefinitionError(
            f"stage {made.id!r}: its description may have {DESCRIPTION_BYTES_MAX} bytes, got {size}"
        )


def _check_types(made: Stage[Any, Any, Any]) -> None:
    """Make the adapters and schemas now, where a mistake in a type is still next to its cause."""
    _ = made.input_adapter, made.input_schema, made.output_adapter, made.output_schema, made.config_schema
    wrong = default_violations(made.config_type, made.default_config)
    if wrong:
        raise DefinitionError(
            f"stage {made.id!r}: defaults of {made.config_type.__name__} are not allowed by its own fields: "
            + "; ".join(str(violation) for violation in wrong)
        )


def _callers_names() -> Mapping[str, Any]:
    """Return the local names where a decorator is applied: annotations may be written in terms of them."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals is globals():
        frame = frame.f_back
    return frame.f_locals if frame is not None else {}
