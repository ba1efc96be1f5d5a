"""`ai_batch_stage`: a stage that asks a model many things at once, and waits for the answers with nothing in memory."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from types import FrameType
from typing import Any, Generic, TypeVar, Union, cast, overload

from pydantic import BaseModel
from typing_extensions import Unpack

from stageline_sdk._limits import POLL_INTERVAL_MIN
from stageline_sdk._signature import read_context, require_plain_function, resolve_hints
from stageline_sdk.ai.batches.batch import CHECK_AFTER_MAX, CHECK_AFTER_MIN
from stageline_sdk.ai.batches.items import BatchResults, Items
from stageline_sdk.ai.batches.options import BatchOptions
from stageline_sdk.ai.batches.rounds import BatchStageState
from stageline_sdk.ai.batches.steps import BatchSteps
from stageline_sdk.ai.options import check_options
from stageline_sdk.context import Context
from stageline_sdk.empty import NoInput
from stageline_sdk.errors import DefinitionError
from stageline_sdk.retry import RetryPolicy, StageTimeouts
from stageline_sdk.stage import Stage, stage
from stageline_sdk.suspension import StillWaiting, Suspended

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
ConfigT = TypeVar("ConfigT", bound=BaseModel)
T = TypeVar("T")

ITEM_ATTEMPTS_MAX = 10
"""Batches that one item may go through."""


class BatchStageDecorator(Generic[InputT, ConfigT, T]):
    """What `ai_batch_stage(...)` returns: turns the function that takes the results into a stage."""

    def __init__(self, steps: BatchSteps, stage_options: Mapping[str, Any]) -> None:
        self._steps = steps
        self._stage_options = stage_options

    @overload
    def __call__(
        self, collect: Callable[[Context[NoInput, ConfigT], BatchResults[T]], Awaitable[OutputT]]
    ) -> Stage[InputT, OutputT, ConfigT]: ...
    @overload
    def __call__(
        self, collect: Callable[[Context[NoInput, ConfigT], BatchResults[T]], OutputT]
    ) -> Stage[InputT, OutputT, ConfigT]: ...
    def __call__(self, collect: Callable[[Any, Any], Any]) -> Stage[Any, Any, Any]:
        """Make the stage.

        Raises:
            DefinitionError: An annotation is missing or cannot be used.
        """
        where, names = f"stage {self._steps.stage_id!r}", _locals_of(inspect.currentframe())
        given = _first_hint(self._steps.prompts, names, f"{where}: prompts")
        _, config = read_context(given, "ctx", where)
        require_plain_function(collect, where)
        hints = resolve_hints(collect, names, where)
        if "return" not in hints:
            raise DefinitionError(
                f"{where}: the return type of {collect.__qualname__} has no annotation, and that is its output's schema"
            )
        steps = self._steps.collected_by(collect)

        async def submit(ctx: Any) -> Any:
            return await steps.submit(ctx)

        async def check(ctx: Any, state: Any) -> Any:
            return await steps.check(ctx, state)

        # The stage's own decorator reads its types from these; to a type checker they are values.
        context, union, output = cast("Any", Context), cast("Any", Union), hints["return"]
        submit.__annotations__ = {"ctx": given, "return": union[output, Suspended]}
        check.__annotations__ = {
            "ctx": context[NoInput, config],
            "state": BatchStageState,
            "return": union[output, StillWaiting],
        }
        submit.__doc__ = collect.__doc__
        made: Stage[Any, Any, Any] = stage(steps.stage_id, mode="async-batch", **self._stage_options)(submit)
        made.check(check)
        return made


def ai_batch_stage(  # noqa: PLR0913 - all but three are named, and have defaults
    stage_id: str,
    output_type: type[T],
    *,
    prompts: Callable[[Context[InputT, ConfigT]], Items | Awaitable[Items]],
    item_attempts: int = 2,
    poll_interval: timedelta = CHECK_AFTER_MIN,
    max_wait: timedelta = timedelta(days=2),
    name: str = "",
    description: str = "",
    dependencies: "Sequence[Stage[Any, Any, Any] | str]" = (),
    retry: RetryPolicy | None = None,
    timeout: timedelta | StageTimeouts | None = None,
    **options: Unpack[BatchOptions],
) -> BatchStageDecorator[InputT, ConfigT, T]:
    """Decorate the function that takes the results of a batch, to make a stage of it and the function that builds the prompts.

    The stage submits its prompts once, whatever crashes; suspends; asks how the batch is, ever more seldom, from any worker
    that has the stage; has a next batch repeat the items that failed for a moment; and books what each item cost.

    The prompts are kept with the run, as artifact `ai-batch/<stage id>.json`, until the results are there.

    Example:
        def questions(ctx: Context[Corpus, AIConfig]) -> dict[str, str]:
            return {page.id: f"Summarise: {page.text}" for page in ctx.input.pages}

        @ai_batch_stage("summarise", Summary, prompts=questions, model="gpt-5-mini")
        async def summarise(ctx: Context[NoInput, AIConfig], results: BatchResults[Summary]) -> Report:
            return Report(summaries=results.outputs, missing=list(results.failures))

    Args:
        stage_id: As for `stage`.
        output_type: What each answer must be: a pydantic model, anything else that pydantic can validate, or `str`.
        prompts: Returns the prompts by id, or `BatchItem`s. `def` or `async def`. None at all makes results without items.
        item_attempts: Batches that one item may go through, 1 to 10, where it failed for a reason that may pass: the provider's
            rate limits and failures, an expired batch, an answer that does not fit. Default 2.
        poll_interval: Wait before the first look at a batch, 1 second to 10 minutes; it grows with the batch's age. Default 30
            seconds.
        max_wait: When the stage fails if the results are not there, from the first submission. Default two days.
        name: As for `stage`.
        description: As for `stage`. Default: the docstring of the decorated function.
        dependencies: As for `stage`; for the function that builds the prompts.
        retry: As for `stage`. An attempt after a failure takes over what an earlier one has submitted.
        timeout: As for `stage`.
        **options: See `BatchOptions`.

    Raises:
        DefinitionError: An option is out of its range.
    """
    check_options(BatchOptions, options)
    if not 1 <= item_attempts <= ITEM_ATTEMPTS_MAX:
        raise DefinitionError(
            f"stage {stage_id!r}: item_attempts is 1 to {ITEM_ATTEMPTS_MAX}, got {item_attempts}"
        )
    if not POLL_INTERVAL_MIN <= poll_interval <= CHECK_AFTER_MAX:
        raise DefinitionError(
            f"stage {stage_id!r}: poll_interval is {POLL_INTERVAL_MIN} to {CHECK_AFTER_MAX}, got {poll_interval}"
        )
    steps = BatchSteps(
        stage_id=stage_id,
        prompts=prompts,
        output_type=output_type,
        item_attempts=item_attempts,
        poll_interval=poll_interval,
        max_wait=max_wait,
        options=options,
    )
    stage_options = {
        "name": name,
        "description": description,
        "dependencies": dependencies,
        "retry": retry,
        "timeout": timeout,
    }
    return BatchStageDecorator(steps, stage_options)


def _first_hint(function: Callable[..., Any], names: Mapping[str, Any], where: str) -> Any:
    require_plain_function(function, where)
    hints = resolve_hints(function, names, where)
    first = next(iter(inspect.signature(function).parameters), "")
    return hints.get(first)


def _locals_of(frame: FrameType | None) -> Mapping[str, Any]:
    """Return the local names of the caller of a frame: annotations may be written in terms of them."""
    return frame.f_back.f_locals if frame is not None and frame.f_back is not None else {}
