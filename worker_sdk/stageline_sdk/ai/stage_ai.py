"""What a stage has at hand for its AI calls: `ctx.ai`."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar, overload

from typing_extensions import Unpack

from stageline_sdk._uuid7 import uuid7
from stageline_sdk.ai._scope import AiScope
from stageline_sdk.ai.batches.batch import AiBatch
from stageline_sdk.ai.batches.host import BatchHost, BatchTerms
from stageline_sdk.ai.batches.options import BatchOptions
from stageline_sdk.ai.batches.output import OutputType
from stageline_sdk.ai.options import CallOptions, EmbedOptions, Prompt, check_options
from stageline_sdk.ai.records import CallType, Contents, CostSource, UsageRecord, exact_cost
from stageline_sdk.ai.results import EmbedResult, ObjectResult, TextResult
from stageline_sdk.ai.streams import TextStream
from stageline_sdk.errors import DefinitionError

if TYPE_CHECKING:
    from stageline_sdk.ai._backend.calls import Call
    from stageline_sdk.ai.sync_ai import SyncStageAi

T = TypeVar("T")

UsageRecorder = Callable[[UsageRecord], None]
"""Takes the record of a call. Returns at once, from any thread, and loses nothing: the record is kept until the server has it."""


class StageAi:
    """Calls models for a stage, and keeps the books of it: every call leaves one record, whatever becomes of it.

    The methods that call models are for `async def` stages; `ctx.ai.sync` has the same ones for plain `def` stages.

    Attributes:
        topic: What records are filed under: the stage's id, and the segments of `child`.
    """

    __slots__ = ("_record", "_scope", "topic")

    def __init__(self, topic: str, record: UsageRecorder, scope: AiScope | None = None) -> None:
        """Files records under a topic.

        Args:
            topic: A dotted path.
            record: Takes the records.
            scope: What the calls of one attempt share. Default: nothing, and the default models.
        """
        self.topic = topic
        self._record = record
        self._scope = scope or AiScope()

    def child(self, *segments: str) -> "StageAi":
        """Return the same with segments added to its topic: `ctx.ai.child("page", "3")` files under `stage.page.3`.

        Raises:
            ValueError: There is no segment, or one is empty.
        """
        return StageAi(self._under(*segments), self._record, self._scope)

    @property
    def sync(self) -> "SyncStageAi":
        """The same for plain `def` stages: its calls wait for their answers."""
        from stageline_sdk.ai.sync_ai import SyncStageAi  # noqa: PLC0415 - it is built on this class

        return SyncStageAi(self, self._scope)

    async def generate_text(self, prompt: Prompt, **options: Unpack[CallOptions]) -> TextResult:
        """Let a model write.

        Args:
            prompt: A text, or texts and `Media` in their order.
            **options: See `CallOptions`; of them the model's key, instructions, temperature and tools are the usual ones.

        Raises:
            AiError: The call failed; `stageline_sdk.ai.errors` draws the tree. It is booked with what it cost so far.
            StageCancelledError: The work is no longer wanted.
        """
        check_options(CallOptions, options)
        return await self._scope.abortable(self._text(prompt, options))

    async def generate_object(
        self, prompt: Prompt, output_type: type[T], **options: Unpack[CallOptions]
    ) -> ObjectResult[T]:
        """Let a model write a value of a type: a pydantic model, or anything that pydantic can validate.

        An answer that does not fit is sent back with the reasons, `corrections_max` times.

        Args:
            prompt: A text, or texts and `Media` in their order.
            output_type: The type.
            **options: See `CallOptions`.

        Raises:
            InvalidAnswerError: No answer fitted.
            AiError: As for `generate_text`.
            StageCancelledError: The work is no longer wanted.
        """
        check_options(CallOptions, options)
        return await self._scope.abortable(self._object(prompt, output_type, options))

    @asynccontextmanager
    async def stream_text(self, prompt: Prompt, **options: Unpack[CallOptions]) -> AsyncIterator[TextStream]:
        """Let a model write, and read as it does. A block that is left early ends the call; it is booked either way.

        Example:
            async with ctx.ai.stream_text("Tell me a story") as stream:
                async for piece in stream:
                    ctx.log.debug(piece)
            print(stream.result.usage.cost_usd)

        Args:
            prompt: A text, or texts and `Media` in their order.
            **options: See `CallOptions`. Nothing is sent again once the first piece has come.

        Raises:
            AiError: As for `generate_text`; also while the pieces are read.
            StageCancelledError: The work is no longer wanted.
        """
        check_options(CallOptions, options)
        async with self._scope.bounded():
            call = await self._call("stream", prompt, options)
            from stageline_sdk.ai._backend.streams import open_stream  # noqa: PLC0415 - heavy

            async with open_stream(call, self._scope.cancelled) as stream:
                yield stream

    async def embed(self, texts: str | Sequence[str], **options: Unpack[EmbedOptions]) -> EmbedResult:
        """Turn a text, or several in one request, into vectors.

        Args:
            texts: One text, or as many as the provider takes in one request, at least one.
            **options: See `EmbedOptions`; `model` must be said, as there is no default for embeddings.

        Raises:
            ValueError: There is no text.
            AiError: As for `generate_text`.
            StageCancelledError: The work is no longer wanted.
        """
        check_options(EmbedOptions, options)
        given = [texts] if isinstance(texts, str) else list(texts)
        if not given:
            raise ValueError("embed() needs at least one text")
        if "model" not in options:
            raise TypeError('embed() needs the key of an embedding model: model="text-embedding-3-small"')
        return await self._scope.abortable(self._embed(given, options))

    @overload
    def batch(self, *, name: str = ..., **options: Unpack[BatchOptions]) -> AiBatch[str]: ...
    @overload
    def batch(
        self, output_type: type[T], *, name: str = ..., **options: Unpack[BatchOptions]
    ) -> AiBatch[T]: ...
    def batch(
        self, output_type: type[Any] = str, *, name: str = "batch", **options: Unpack[BatchOptions]
    ) -> AiBatch[Any]:
        """Return what submits many prompts as a provider's batch, asks how it is, and fetches its results.

        A batch costs about half of what its calls would, and may take a day: suspend the stage meanwhile with the handle
        as its state. `ai_batch_stage` makes a stage of this.

        Args:
            output_type: What each answer must be: a pydantic model, or anything that pydantic can validate. Default: text.
            name: What it is called in the stage, 1 to 50 characters of `A-Z a-z 0-9 . _ -`. One that submits several batches
                names each.
            **options: See `BatchOptions`.

        Raises:
            UnknownModelError: The registry does not have the model.
            DefinitionError: This is not the `ctx.ai` of a stage.
        """
        check_options(BatchOptions, options)
        if self._scope.stage is None:
            raise DefinitionError(
                "a batch is submitted in a stage, which knows after a crash that it was: use ctx.ai"
            )
        topic = options.get("topic")
        terms = BatchTerms(
            name=name,
            model=self._scope.model(options.get("model")),
            output=OutputType(output_type),
            topic=self._under(topic) if topic else self.topic,
            options=options,
        )
        return AiBatch(terms, BatchHost(scope=self._scope, stage=self._scope.stage, record=self._record))

    def record_call(  # noqa: PLR0913 - each is a column of the record, and all are named
        self,
        *,
        model: str = "",
        topic: str = "",
        call_type: CallType = "text",
        cost_usd: Decimal | int | str | None = None,
        cost_source: CostSource = "caller",
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_input_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        provider: str = "",
        model_id: str = "",
        prompt: Any = None,
        response: Any = None,
        latency: timedelta | None = None,
        started_at: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        batch_id: str = "",
        error: str = "",
        contents: Contents | None = None,
        usage_id: str | None = None,
    ) -> str:
        """Book an AI call that was made elsewhere, and return its id. Returns at once.

        The record is sent as it is made and kept until the server has it; it is booked whatever becomes of the stage. Only a
        worker that is killed before it could send may lose one. What is left out is unknown.

        Args:
            model: The name by which the code asked for the model.
            topic: What the call was for; added to the stage's id. Default: the stage's id alone.
            call_type: Its kind.
            cost_usd: In US dollars, exact: a Decimal or a text such as `"0.00123"`.
            cost_source: Where the cost comes from.
            input_tokens: In all, cached ones included.
            output_tokens: In all, reasoning ones included.
            cached_input_tokens: Those that were read from the provider's cache.
            reasoning_tokens: Those that were spent on reasoning.
            provider: Such as `openai`.
            model_id: The provider's id of the model that answered.
            prompt: What was asked; anything that JSON can show. What is kept of it the server's setting says.
            response: What was answered; as `prompt`.
            latency: From the request to the end of the answer.
            started_at: When the request was sent, with a time zone. Default: now.
            metadata: More about it, at most 16 KiB as JSON.
            batch_id: The provider's id of the batch that it was part of.
            error: What went wrong, for a call that failed.
            contents: Keeps less of prompt and response than the server would: `hash` or `none`.
            usage_id: Of calls with one id the first is booked; give a batch's items ids of their own. Default: a new one.

        Raises:
            TypeError: The cost is a float, which cannot hold an amount exactly.
            ValueError: The topic, a count of tokens, the cost or the id breaks its rule.
        """
        record = UsageRecord(
            topic=self._under(topic) if topic else self.topic,
            call_type=call_type,
            model=model,
            model_id=model_id,
            provider=provider,
            prompt=prompt,
            response=response,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_input_tokens=cached_input_tokens,
            reasoning_tokens=reasoning_tokens,
            cost_usd=exact_cost(cost_usd),
            cost_source=cost_source,
            latency=latency,
            started_at=started_at or datetime.now(UTC),
            metadata=metadata or {},
            batch_id=batch_id,
            error=error,
            contents=contents,
            id=usage_id or uuid7(),
        )
        self.record(record)
        return record.id

    def record(self, record: UsageRecord) -> None:
        """Book a record as it is, under its own topic."""
        self._record(record)

    async def _text(self, prompt: Prompt, options: CallOptions) -> TextResult:
        async with self._scope.bounded():
            return await (await self._call("text", prompt, options)).text()

    async def _object(self, prompt: Prompt, output_type: type[T], options: CallOptions) -> ObjectResult[T]:
        async with self._scope.bounded():
            return await (await self._call("object", prompt, options)).object(output_type)

    async def _embed(self, texts: Sequence[str], options: EmbedOptions) -> EmbedResult:
        async with self._scope.bounded():
            await self._scope.runtime.load()
            from stageline_sdk.ai._backend.embeddings import embed  # noqa: PLC0415 - heavy

            return await embed(self._scope, self._record, self._topic_of(options), texts, options)

    async def _call(self, call_type: CallType, prompt: Prompt, options: CallOptions) -> "Call":
        await self._scope.runtime.load()
        from stageline_sdk.ai._backend.calls import Call  # noqa: PLC0415 - heavy

        return Call(self._scope, self._record, self._topic_of(options), call_type, prompt, options)

    def _topic_of(self, options: CallOptions | EmbedOptions) -> str:
        topic = options.get("topic")
        return self._under(topic) if topic else self.topic

    def _under(self, *segments: str) -> str:
        if not segments or not all(segments):
            raise ValueError("a topic's segment must not be empty")
        return ".".join((self.topic, *segments))
