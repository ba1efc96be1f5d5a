"""What a stage function gets: its input and config, the outputs of earlier stages, and ways to speak."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, overload

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json
from typing_extensions import TypeVar

from stageline_sdk._job import (
    AnnotationRecord,
    ContextSink,
    Job,
    ProgressUpdate,
    ResumeToken,
)
from stageline_sdk._limits import (
    ANNOTATION_DETAILS_BYTES_MAX,
    ANNOTATION_VALUE_BYTES_MAX,
    RESUME_LABEL_LENGTH_MAX,
    RESUME_TOKEN_BYTES,
    RESUME_TOKENS_MAX,
    WAIT_MAX,
)
from stageline_sdk._payload import clean_text, jsonable, jsonable_fields
from stageline_sdk._submit_once import AttemptSubmissions, submit_once, submit_once_async
from stageline_sdk.ai._runtime import AiRuntime
from stageline_sdk.ai._scope import AiScope
from stageline_sdk.ai.stage_ai import StageAi
from stageline_sdk.cancellation import CancelSignal
from stageline_sdk.empty import NoConfig
from stageline_sdk.errors import DefinitionError, MissingOutputError, NonRetryableError
from stageline_sdk.limiter import Limiter
from stageline_sdk.presets import ConcurrencyConfig, DebugConfig, ai_call_defaults
from stageline_sdk.stage_logger import StageLogger
from stageline_sdk.storage import AsyncStorage, Storage
from stageline_sdk.submissions import Submission

if TYPE_CHECKING:
    from stageline_sdk.stage import Stage

InputT_co = TypeVar("InputT_co", covariant=True)
ConfigT_co = TypeVar("ConfigT_co", bound=BaseModel, covariant=True, default=NoConfig)
OutputT = TypeVar("OutputT")

_ANNOTATION_KEY_LENGTH_MAX = 255


@dataclass(frozen=True, kw_only=True, eq=False)
class Context(Generic[InputT_co, ConfigT_co]):
    """What a stage function gets. The worker makes it; in tests `stageline_sdk.testing.StageEnvironment` does.

    `Context[Document, ExtractConfig]` declares the input and config; `Context[Document]` has no config, and
    `Context[NoInput]` does not read its input.

    Attributes:
        input: The stage's input: the run's, or the output of the group before; of a parallel group, an object keyed by
            stage id.
        config: The stage's config: the run's over the model's defaults.
        run_id: The run.
        workflow_name: Its workflow.
        workflow_version: The version of the workflow that the run is pinned to.
        stage_id: This stage.
        attempt: 1 for the first try; failures count it up.
        delivery: How often this stage was handed to a worker; a lost worker counts it up, and so does a failure.
        generation: 1 for the first execution; one more at each rerun.
        deadline: When the attempt times out, with a time zone; None if it never does.
        cancelled: Set when the work is no longer wanted. Await it, wait on it, or ask `is_set()`. An `async def` stage
            also gets `asyncio.CancelledError` at its next `await`.
        log: Logs lines that are kept with the run.
    """

    input: InputT_co
    config: ConfigT_co
    run_id: str
    workflow_name: str
    workflow_version: int
    stage_id: str
    attempt: int
    delivery: int
    generation: int
    deadline: datetime | None
    cancelled: CancelSignal
    log: StageLogger
    _job: Job = field(repr=False)
    _sink: ContextSink = field(repr=False)
    _submissions: AttemptSubmissions = field(repr=False)
    _fetched: dict[str, bytes] = field(default_factory=dict, repr=False)
    _resume_tokens: list[ResumeToken] = field(default_factory=list, repr=False)
    _limiters: list[Limiter] = field(default_factory=list, repr=False)
    _ai: AiRuntime = field(default_factory=AiRuntime, repr=False)

    @overload
    def require(self, stage: "Stage[Any, OutputT, Any]") -> OutputT: ...
    @overload
    def require(self, stage: str) -> Any: ...
    def require(self, stage: "Stage[Any, OutputT, Any] | str") -> OutputT | Any:
        """Return the output of an earlier stage of this run.

        Outputs of the stages in `dependencies` are there before the stage starts. Others may have to be fetched at
        the first call, which then blocks for a round trip: name what you need in `dependencies`.

        Args:
            stage: The stage, which gives a typed value; or its id, which gives plain JSON values.

        Raises:
            MissingOutputError: No stage of an earlier group has this id. Falsy outputs, such as None and 0, are there.
            NonRetryableError: The output does not fit the output type of the stage object.
            ApiError: The output could not be fetched.
        """
        stage_id = stage if isinstance(stage, str) else stage.id
        if not self._has(stage_id):
            raise MissingOutputError(
                f"stage {self.stage_id!r} requires the output of stage {stage_id!r}, which this run does not have. "
                f"Outputs of earlier groups: {', '.join(self.available_outputs) or 'none'}",
                stage_id=stage_id,
                available=self.available_outputs,
            )
        return self._read(stage)

    @overload
    def optional(self, stage: "Stage[Any, OutputT, Any]") -> OutputT | None: ...
    @overload
    def optional(self, stage: str) -> Any: ...
    def optional(self, stage: "Stage[Any, OutputT, Any] | str") -> OutputT | Any | None:
        """Return the output of an earlier stage of this run, None if there is none.

        Args:
            stage: The stage, which gives a typed value; or its id, which gives plain JSON values.

        Raises:
            NonRetryableError: The output does not fit the output type of the stage object.
            ApiError: The output could not be fetched.
        """
        return self._read(stage) if self._has(stage if isinstance(stage, str) else stage.id) else None

    @property
    def available_outputs(self) -> tuple[str, ...]:
        """Ids of the earlier stages whose outputs can be required, sorted."""
        return tuple(sorted({*self._job.outputs, *self._job.stored_outputs}))

    def progress(self, fraction: float, message: str = "", /, **details: Any) -> None:
        """Say how far the stage is; shown live. Returns at once; of updates in quick succession the last is sent.

        Args:
            fraction: Share done, 0 to 1.
            message: For people, at most 1,024 characters.
            **details: Key-value details.

        Raises:
            ValueError: The fraction is not a number from 0 to 1.
        """
        if not 0 <= fraction <= 1:  # False for NaN, too.
            raise ValueError(
                f"progress is a fraction from 0 to 1, got {fraction!r}; divide a percentage by 100"
            )
        self._sink.progress(
            ProgressUpdate(float(fraction), clean_text(str(message)), jsonable_fields(details))
        )

    def annotate(
        self, key: str, value: Any, *, details: Mapping[str, Any] | None = None, emit_event: bool = False
    ) -> None:
        """Make a note on the run, such as why something was decided. Sent at once, and kept until the server has it.

        Args:
            key: A dotted lower-case name, such as `decision.rationale`; 1 to 255 characters.
            value: What it says: anything that JSON can show, except None; at most 16 KiB.
            details: More about it, at most 64 KiB.
            emit_event: Whether an event `annotation:created` tells of it.

        Raises:
            ValueError: The key's length is wrong, the value is None, or value or details are too large.
        """
        if not 1 <= len(key) <= _ANNOTATION_KEY_LENGTH_MAX:
            raise ValueError(
                f"an annotation's key has 1 to {_ANNOTATION_KEY_LENGTH_MAX} characters, got {len(key)}"
            )
        if value is None:
            raise ValueError(f"annotation {key!r} has no value: give any JSON value except null")
        said = AnnotationRecord(key, jsonable(value), jsonable_fields(details or {}), emit_event)
        for name, part, bytes_max in (
            ("value", said.value, ANNOTATION_VALUE_BYTES_MAX),
            ("details", said.details, ANNOTATION_DETAILS_BYTES_MAX),
        ):
            size_bytes = len(to_json(part))
            if size_bytes > bytes_max:
                raise ValueError(
                    f"annotation {key!r}: {name} has {size_bytes:,} bytes; the limit is {bytes_max:,}"
                )
        self._sink.annotate(said)

    @property
    def ai(self) -> StageAi:
        """Calls models, and keeps the books of it: `await ctx.ai.generate_text(prompt, model="gpt-5-mini")`.

        What the stage's config says by its presets holds for the calls: model, temperature and length of answers of an
        `AIConfig`, bounds of a `ConcurrencyConfig`, `dry_run` of a `DebugConfig`. In a plain `def`: `ctx.ai.sync`.
        """
        is_bounded = isinstance(self.config, ConcurrencyConfig)
        scope = AiScope(
            runtime=self._ai,
            cancelled=self.cancelled,
            defaults=ai_call_defaults(self.config),
            limiter=self._own_limiter if is_bounded else None,
            is_dry_run=self.dry_run,
            stage=self,
        )
        return StageAi(self.stage_id, self._sink.record_usage, scope)

    def resume_token(self, label: str = "", *, expire_after: timedelta | None = None) -> str:
        """Return a new token by which the outside may end this stage's wait, once. Give it away, then return Suspended.

        Whoever has it calls `client.resume_stage(ctx.run_id, ctx.stage_id, token, output=...)`, or `stageline run
        resume`. The server stores only its hash. It is good from the moment the suspension is recorded, and void if the
        stage ends otherwise. A token is a secret: in a log or an annotation everybody who reads the run has it.

        Args:
            label: What is waited for, for people: `approval by finance`. At most 255 characters.
            expire_after: How long it is good, from the suspension on. Default: as long as the stage waits.

        Raises:
            ValueError: The label is too long, the time is not more than 0, or there are ten tokens already.
        """
        if len(label) > RESUME_LABEL_LENGTH_MAX:
            raise ValueError(f"a label has at most {RESUME_LABEL_LENGTH_MAX} characters, got {len(label)}")
        if expire_after is not None and not timedelta(0) < expire_after <= WAIT_MAX:
            raise ValueError(
                f"expire_after must be more than 0, at most {WAIT_MAX.days} days, got {expire_after}"
            )
        if len(self._resume_tokens) == RESUME_TOKENS_MAX:
            raise ValueError(f"an attempt has at most {RESUME_TOKENS_MAX} resume tokens")
        token = secrets.token_urlsafe(RESUME_TOKEN_BYTES)
        digest = hashlib.sha256(token.encode()).digest()
        self._resume_tokens.append(ResumeToken(digest, clean_text(label), expire_after))
        return token

    @property
    def resume_state(self) -> Any | None:
        """What the last suspension of this stage left, as JSON values; None if it was not suspended in this generation.

        An attempt that follows a suspension (its check failed, say) finds here what it had submitted already.
        """
        return None if self._job.state is None else from_json(self._job.state)

    @property
    def submissions(self) -> tuple[Submission, ...]:
        """What this and earlier attempts of this generation submitted elsewhere with `submit_once`."""
        return self._submissions.known

    async def submit_once(
        self,
        name: str,
        submit: Callable[[str], Awaitable[str]],
        look_up: Callable[[str], Awaitable[str | None]] | None = None,
        *,
        refusals: tuple[type[Exception], ...] = (),
    ) -> str:
        """Submit something elsewhere at a price, at most once in this generation of the stage; return its reference.

        The server is told before and after, and waited for. Where an attempt crashed in between, the next one asks
        `look_up` first and submits only what the provider surely does not have. What nobody can look up is shown as
        SUSPECTED, and is not submitted again. An attempt that finds it confirmed gets the reference at once.

        Args:
            name: What it is called in this stage: 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
            submit: Submits under a key of at most 101 characters, to be given to the provider, and returns the provider's
                id for it, of 1 to 1,024 characters.
            look_up: Returns the id of what the provider has under a key; None where it surely has nothing. What it raises
                fails the attempt: to guess here is to pay twice.
            refusals: Exceptions of `submit` after which surely nothing was submitted: a retry submits without looking.

        Raises:
            SuspectedOrphanError: An earlier try may have submitted it, and there is no `look_up`.
            ApiError: The server cannot be reached for a minute, or the lease has ended. Before `submit`, nothing was sent.
            ValueError: The name, or the reference, is none.
            RuntimeError: The same name is under way.
        """
        return await submit_once_async(self._submissions, self._sink.submit, name, submit, look_up, refusals)

    def submit_once_sync(
        self,
        name: str,
        submit: Callable[[str], str],
        look_up: Callable[[str], str | None] | None = None,
        *,
        refusals: tuple[type[Exception], ...] = (),
    ) -> str:
        """Do what `submit_once` does, in a stage that is a plain `def`."""
        return submit_once(self._submissions, self._sink.submit, name, submit, look_up, refusals)

    @property
    def limiter(self: "Context[Any, ConcurrencyConfig]") -> Limiter:
        """Bounds and paces the calls of this attempt, by a config that is a `stageline_sdk.presets.ConcurrencyConfig`.

        Raises:
            DefinitionError: The stage's config is not one.
        """
        if not isinstance(self.config, ConcurrencyConfig):
            raise DefinitionError(
                f"stage {self.stage_id!r}: ctx.limiter needs a config that is a ConcurrencyConfig of "
                f"stageline_sdk.presets, and {type(self.config).__name__} is not"
            )
        return self._own_limiter()

    @property
    def dry_run(self) -> bool:
        """Whether the stage must change nothing outside: `dry_run` of a config that is a DebugConfig, else False."""
        return isinstance(self.config, DebugConfig) and self.config.dry_run

    @property
    def storage(self) -> Storage:
        """Keeps bytes with the run, by name, for later stages and for clients. Its calls wait for their answers."""
        return Storage(self._sink.store)

    @property
    def async_storage(self) -> AsyncStorage:
        """The same as `storage`, for `async def` stages: its calls are awaited."""
        return AsyncStorage(self.storage)

    def raise_if_cancelled(self) -> None:
        """Stop here if the work is no longer wanted. Call it between the steps of a long `def` stage.

        Raises:
            StageCancelledError: The run was cancelled or timed out, or another worker has the job.
        """
        self.cancelled.raise_if_set()

    def _own_limiter(self) -> Limiter:
        assert isinstance(self.config, ConcurrencyConfig)
        if not self._limiters:
            self._limiters.append(Limiter(self.config, self.cancelled))
        return self._limiters[0]

    def _has(self, stage_id: str) -> bool:
        return stage_id in self._job.outputs or stage_id in self._job.stored_outputs

    def _read(self, stage: "Stage[Any, Any, Any] | str") -> Any:
        stage_id = stage if isinstance(stage, str) else stage.id
        text = self._job.outputs.get(stage_id) or self._fetched.get(stage_id)
        if text is None:
            text = self._fetched[stage_id] = self._sink.fetch_output(stage_id)
        if isinstance(stage, str):
            return from_json(text)
        try:
            return stage.output_adapter.validate_json(text)
        except ValidationError as error:
            raise NonRetryableError(
                f"the output of stage {stage_id!r} does not fit the type of the stage object that was given: {error}"
            ) from error


def context_for(
    job: Job,
    given: Any,
    config: BaseModel,
    sink: ContextSink,
    cancelled: CancelSignal,
    ai: AiRuntime | None = None,
) -> Context[Any, Any]:
    """Return the context of a job, for the runtime. Input and config are already parsed."""
    return Context(
        input=given,
        config=config,
        run_id=job.run_id,
        workflow_name=job.workflow_name,
        workflow_version=job.workflow_version,
        stage_id=job.stage_id,
        attempt=job.attempt,
        delivery=job.delivery,
        generation=job.generation,
        deadline=job.deadline,
        cancelled=cancelled,
        log=StageLogger(sink, keeps_debug=not isinstance(config, DebugConfig) or config.verbose),
        _job=job,
        _sink=sink,
        _ai=ai or AiRuntime(),
        _submissions=AttemptSubmissions(job.run_id, job.stage_id, job.generation, job.submissions),
    )
