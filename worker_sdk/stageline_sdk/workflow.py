"""Workflows: a pipeline of groups of stages, typed from the run's input to its output."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

from stageline_sdk._limits import TIMEOUT_MAX
from stageline_sdk._names import require_workflow_name, title_of
from stageline_sdk._validation import check_group, check_workflow
from stageline_sdk.built_workflow import BuiltWorkflow
from stageline_sdk.empty import NoInput
from stageline_sdk.errors import DefinitionError
from stageline_sdk.stage import Stage

InputT = TypeVar("InputT")
ReadyT = TypeVar("ReadyT")
NextT = TypeVar("NextT")

_Group = tuple[Stage[Any, Any, Any], ...]


class Workflow(Generic[InputT, ReadyT]):
    """Builds a workflow, group by group. Each call returns a new builder; the one it was called on stays as it was.

    Example:
        document_processor = (
            Workflow("document-processor", input=Document)
            .pipe(extract_text)
            .parallel(sentiment, keywords, language)
            .pipe(aggregate)
            .build()
        )

    The first type variable is the run's input, the second what the next stage will be given. A type checker refuses a
    stage whose `Context` declares another input. After `parallel` that is an object keyed by stage id, which any model
    with such fields may read: there it is `build()` that compares the schemas.
    """

    __slots__ = ("_description", "_groups", "_input_type", "_name", "_run_timeout", "_title")

    @overload
    def __init__(
        self: "Workflow[InputT, InputT]",
        name: str,
        *,
        input: type[InputT],
        title: str = "",
        description: str = "",
        run_timeout: timedelta | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: "Workflow[Any, Any]",
        name: str,
        *,
        input: Any,
        title: str = "",
        description: str = "",
        run_timeout: timedelta | None = None,
    ) -> None: ...
    def __init__(
        self,
        name: str,
        *,
        input: Any,  # noqa: A002 - the word of the domain
        title: str = "",
        description: str = "",
        run_timeout: timedelta | None = None,
    ) -> None:
        """Start a workflow without stages.

        Args:
            name: Unique in the namespace: 1 to 128 lower-case letters, digits, `-`, `_` and `.`, the first and last of
                them a letter or digit.
            input: The type of a run's input: a pydantic model, or any other type that pydantic knows; NoInput if runs
                have none.
            title: For people, at most 255 characters. Default: the name, as `Document Processor`.
            description: For people, at most 16 KiB.
            run_timeout: How long a run may take from its start, waits included; then it fails with RUN_TIMED_OUT.
                More than 0, at most 366 days. Default: without limit.

        Raises:
            DefinitionError: The name breaks the rule for names, or the time-out is out of its range.
        """
        if run_timeout is not None and not timedelta(0) < run_timeout <= TIMEOUT_MAX:
            raise DefinitionError(
                f"workflow {name!r}: run_timeout must be more than 0 and at most {TIMEOUT_MAX.days} days, got {run_timeout}"
            )
        self._run_timeout = run_timeout
        self._name = require_workflow_name(name)
        self._title = title or title_of(name)
        self._description = description
        self._input_type: Any = input
        self._groups: tuple[_Group, ...] = ()

    def pipe(
        self, stage: Stage[ReadyT, NextT, Any] | Stage[NoInput, NextT, Any]
    ) -> "Workflow[InputT, NextT]":
        """Return a builder with one more group, of this single stage, whose output the next group is given.

        Args:
            stage: A stage whose input is the output so far, or NoInput.

        Raises:
            DefinitionError: It is not a stage.
        """
        return self._with_group([stage])

    def parallel(
        self, *stages: Stage[ReadyT, Any, Any] | Stage[NoInput, Any, Any]
    ) -> "Workflow[InputT, Any]":
        """Return a builder with one more group, of stages that run side by side on the same input.

        The next group is given an object of their outputs, keyed by stage id.

        Args:
            *stages: At least one stage, at most 1,000.

        Raises:
            EmptyGroupError: No stage is given.
            TooManyStagesError: More than 1,000 are given.
            DefinitionError: One of them is not a stage.
        """
        return self._with_group(stages)

    def build(self) -> BuiltWorkflow[InputT, ReadyT]:
        """Check the whole and return the workflow, ready to be run by a worker or started by a client.

        Raises:
            EmptyWorkflowError: There is no stage.
            TooManyStagesError: There are more than 2,000 stages.
            DuplicateStageIdError: Two stages have the same id.
            UnknownDependencyError: A stage depends on one that is missing, later, or in its own group.
            MissingCheckError: An async-batch stage has no check function.
            IncompatibleSchemaError: A stage requires a field, or expects a type, that the group before it does not give.
            DefinitionError: A text or schema is larger than allowed, or the input type has no JSON Schema.
        """
        built: BuiltWorkflow[InputT, ReadyT] = BuiltWorkflow(
            name=self._name,
            title=self._title,
            description=self._description,
            input_type=self._input_type,
            groups=self._groups,
            run_timeout=self._run_timeout,
        )
        check_workflow(built)
        return built

    def _with_group(self, stages: Sequence[Stage[Any, Any, Any]]) -> "Workflow[InputT, Any]":
        check_group(self._name, stages)
        longer: Workflow[InputT, Any] = Workflow(
            self._name,
            input=self._input_type,
            title=self._title,
            description=self._description,
            run_timeout=self._run_timeout,
        )
        longer._groups = (*self._groups, tuple(stages))
        return longer

    def __repr__(self) -> str:
        plan = " -> ".join(f"[{', '.join(stage.id for stage in group)}]" for group in self._groups)
        return f"Workflow({self._name!r}: {plan or 'no stage'}; not built)"
