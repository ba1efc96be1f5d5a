"""For tests of your own stages: run them for real, with no server and no network.

    async def test_short_texts_are_neutral() -> None:
        env = StageEnvironment(outputs={extract_text: Extracted(text="ok", word_count=1)})
        result = await env.run(sentiment, Extracted(text="ok", word_count=1))
        assert result.label == "neutral"
        assert [record.message for record in env.logs] == ["scored"]

Values take the way they take in production: to JSON and back, through the models of the stage.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter
from pydantic_core import from_json, to_json

from stageline_sdk._execute import StageRunner
from stageline_sdk._job import (
    AnnotationRecord,
    Cancelled,
    Completed,
    Job,
    LogRecord,
    NotReady,
    Outcome,
    ProgressUpdate,
    StageFailure,
    WaitsOutside,
)
from stageline_sdk._payload import encode, join_outputs
from stageline_sdk._storage_requests import StorageRequest
from stageline_sdk._storage_testing import store_in
from stageline_sdk.ai.records import UsageRecord
from stageline_sdk.ai.registry import ModelRegistry
from stageline_sdk.built_workflow import BuiltWorkflow
from stageline_sdk.cancellation import CancelSource
from stageline_sdk.errors import StageCancelledError, StageError
from stageline_sdk.stage import Stage
from stageline_sdk.submissions import Submission
from stageline_sdk.suspension import StillWaiting

__all__ = [
    "AnnotationRecord",
    "Cancelled",
    "Completed",
    "LogRecord",
    "NotReady",
    "Outcome",
    "ProgressUpdate",
    "StageEnvironment",
    "StageFailedError",
    "StageFailure",
    "WaitsOutside",
]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
ConfigT = TypeVar("ConfigT", bound=BaseModel)

_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


class StageFailedError(StageError):
    """The stage failed other than by an exception of its own: a type refused a value, or its process died.

    Attributes:
        failure: What would be reported to the server.
    """

    def __init__(self, failure: StageFailure) -> None:
        super().__init__(f"{failure.kind}: {failure.message}")
        self.failure = failure


class StageEnvironment:
    """Runs stages in a test, and collects what they say.

    Attributes:
        logs: The lines that stages logged, in order.
        progress: Their progress updates, in order.
        annotations: Their annotations, in order.
        usage: The records of their AI calls, in the order in which these ended.
        artifacts: What stages keep with the run, by key; put here what they are to find.
        submissions: What stages submitted with `ctx.submit_once`, by key. A further `run` is told of them, as the next
            attempt is: a `submit` that raised tests what your stage does after a crash.
        outputs: The outputs that stages can require, as JSON text by stage id; `run_workflow` adds to it.
        cancel: Set it with `env.cancel.cancel("reason")`, from any thread, to stop what runs.
    """

    def __init__(
        self,
        *,
        outputs: "Mapping[Stage[Any, Any, Any] | str, Any] | None" = None,
        run_id: str = "00000000-0000-7000-8000-000000000000",
        attempt: int = 1,
        delivery: int = 1,
        generation: int = 1,
        deadline: datetime | None = None,
        models: ModelRegistry | None = None,
    ) -> None:
        """Prepare an environment.

        Args:
            outputs: Outputs of earlier stages, by stage or by id.
            run_id: What `ctx.run_id` is.
            attempt: What `ctx.attempt` is.
            delivery: What `ctx.delivery` is.
            generation: What `ctx.generation` is.
            deadline: What `ctx.deadline` is; nothing is stopped when it passes.
            models: The models that `ctx.ai` calls. Default: as for a worker.

        Raises:
            pydantic.ValidationError: An output is not of its stage's output type.
        """
        self.logs: list[LogRecord] = []
        self.progress: list[ProgressUpdate] = []
        self.annotations: list[AnnotationRecord] = []
        self.usage: list[UsageRecord] = []
        self.artifacts: dict[str, bytes] = {}
        self.submissions: dict[str, Submission] = {}
        self.cancel = CancelSource()
        self.outputs: dict[str, bytes] = {}
        for stage, value in (outputs or {}).items():
            if isinstance(stage, str):
                self.outputs[stage] = encode(_ANYTHING, value)
            else:
                self.outputs[stage.id] = encode(stage.output_adapter, value)
        self._identity: dict[str, Any] = {
            "run_id": run_id,
            "attempt": attempt,
            "delivery": delivery,
            "generation": generation,
            "deadline": deadline,
        }
        self._sink = _CollectingSink(self)
        self._models = models

    async def run(
        self,
        stage: Stage[InputT, OutputT, ConfigT],
        input: InputT | None = None,  # noqa: A002 - the word of the domain
        *,
        config: ConfigT | None = None,
    ) -> OutputT:
        """Run a stage once and return its output.

        Args:
            stage: The stage.
            input: Its input; may be left out if the stage does not read it.
            config: Its config. Default: the model's defaults.

        Raises:
            Exception: Whatever the stage raised.
            StageFailedError: A type refused the input, config or output, or the stage suspended, or its process died.
            StageCancelledError: `cancel` was set and the stage stopped.
        """
        outcome = await self.outcome(stage, input, config=config)
        if isinstance(outcome, WaitsOutside):
            raise StageError(
                f"stage {stage.id!r} suspended, and so has no output: read env.outcome() instead"
            )
        output: OutputT = self._value(stage, outcome)
        return output

    def run_sync(
        self,
        stage: Stage[InputT, OutputT, ConfigT],
        input: InputT | None = None,  # noqa: A002 - the word of the domain
        *,
        config: ConfigT | None = None,
    ) -> OutputT:
        """Do what `run` does, for tests that are not `async def`."""
        return asyncio.run(self.run(stage, input, config=config))

    async def outcome(
        self,
        stage: Stage[InputT, Any, ConfigT],
        input: InputT | None = None,  # noqa: A002 - the word of the domain
        *,
        config: ConfigT | None = None,
    ) -> Outcome:
        """Run a stage once and return what would be reported to the server, be it a success or a failure."""
        given = (
            to_json(input) if stage.accepts_any_input else stage.input_adapter.dump_json(input, by_alias=True)
        )
        return await self._run(
            stage, given, b"{}" if config is None else config.model_dump_json(by_alias=True).encode()
        )

    async def check(
        self, stage: Stage[Any, OutputT, ConfigT], state: Any, *, config: ConfigT | None = None
    ) -> OutputT | StillWaiting:
        """Check a suspended stage once, and return its output or StillWaiting.

        Args:
            stage: A stage of mode async-batch.
            state: The state of its suspension.
            config: Its config. Default: the model's defaults.

        Raises:
            Exception: Whatever the check function raised.
            StageFailedError: A type refused the state, config or output.
        """
        text = b"{}" if config is None else config.model_dump_json(by_alias=True).encode()
        outcome = await self._run(
            stage, b"null", text, kind="CHECK", state=encode(stage.state_adapter, state)
        )
        if isinstance(outcome, NotReady):
            return StillWaiting(
                next_check=outcome.next_check,
                state=None if outcome.state is None else from_json(outcome.state),
            )
        output: OutputT = self._value(stage, outcome)
        return output

    async def run_workflow(
        self,
        workflow: BuiltWorkflow[InputT, OutputT],
        input: InputT,  # noqa: A002 - the word of the domain
        *,
        config: Mapping[str, Any] | None = None,
    ) -> OutputT:
        """Run every stage of a workflow, one after another, and return the output of the last group.

        Nothing is retried: the first failure is raised.

        Args:
            workflow: The workflow.
            input: The run's input.
            config: For each stage id, the stage's own values over its defaults.

        Raises:
            Exception: Whatever a stage raised.
            ConfigError: The config does not fit.
            StageFailedError: As in `run`.
        """
        given = config or {}
        workflow.validate_config(given)
        text = TypeAdapter(workflow.input_type).dump_json(input, by_alias=True)
        for group in workflow.groups:
            for stage in group:
                own = to_json({**stage.default_config, **given.get(stage.id, {})})
                outcome = await self._run(stage, text, own, workflow_name=workflow.name)
                self._value(stage, outcome)
                if isinstance(outcome, Completed):
                    self.outputs[stage.id] = outcome.output
            text = join_outputs({stage.id: self.outputs[stage.id] for stage in group})
        last = workflow.groups[-1]
        output: Any = from_json(text) if len(last) > 1 else last[0].output_adapter.validate_json(text)
        return output  # type: ignore[no-any-return]

    async def _run(self, stage: Stage[Any, Any, Any], given: bytes, config: bytes, **more: Any) -> Outcome:
        job = Job(
            **{"workflow_name": "test", "workflow_version": 1, **self._identity, **more},
            stage_id=stage.id,
            input=given,
            config=config,
            outputs=dict(self.outputs),
            submissions=tuple(self.submissions.values()),
        )
        async with StageRunner(self._models) as runner:
            return await runner.run(stage, job, self._sink, self.cancel)

    def _value(self, stage: Stage[Any, Any, Any], outcome: Outcome) -> Any:
        if isinstance(outcome, Completed):
            return stage.output_adapter.validate_json(outcome.output)
        if isinstance(outcome, Cancelled):
            raise StageCancelledError(f"stage {stage.id!r} was cancelled", reason=outcome.reason)
        if isinstance(outcome, StageFailure):
            if outcome.kind == "APPLICATION" and outcome.exception is not None:
                raise outcome.exception
            raise StageFailedError(outcome)
        raise StageError(f"stage {stage.id!r} suspended, and so has no output")


class _CollectingSink:
    def __init__(self, environment: StageEnvironment) -> None:
        self._environment = environment

    def log(self, record: LogRecord) -> None:
        self._environment.logs.append(record)

    def progress(self, update: ProgressUpdate) -> None:
        self._environment.progress.append(update)

    def annotate(self, annotation: AnnotationRecord) -> None:
        self._environment.annotations.append(annotation)

    def record_usage(self, record: UsageRecord) -> None:
        usage = self._environment.usage
        usage[:] = [each for each in usage if not (each.is_open and each.id == record.id)]
        usage.append(record)

    def fetch_output(self, stage_id: str) -> bytes:
        return self._environment.outputs[stage_id]

    def store(self, request: StorageRequest) -> Any:
        return store_in(self._environment.artifacts, request)

    def submit(self, submission: Submission) -> None:
        self._environment.submissions[submission.key] = submission
