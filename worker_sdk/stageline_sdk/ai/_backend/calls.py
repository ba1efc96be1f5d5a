"""Texts and objects: one call of a model, with its tools, corrections and retries."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

from pydantic_ai import Agent, BinaryContent
from pydantic_ai.messages import UserContent
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import UsageLimits

from stageline_sdk._payload import jsonable
from stageline_sdk.ai._backend.dry_run import dry_writer
from stageline_sdk.ai._backend.failures import translated
from stageline_sdk.ai._backend.metering import Meter, MeteredModel
from stageline_sdk.ai._backend.recording import Entry, shown
from stageline_sdk.ai._scope import AiScope
from stageline_sdk.ai.models import AiModel
from stageline_sdk.ai.options import (
    CORRECTIONS_MAX_DEFAULT,
    STEPS_MAX_DEFAULT,
    CallOptions,
    CommonOptions,
    Media,
    Prompt,
)
from stageline_sdk.ai.records import CallType, UsageRecord
from stageline_sdk.ai.results import ObjectResult, TextResult

T = TypeVar("T")


class Call:
    """One call that writes, from its options to its record."""

    def __init__(
        self,
        scope: AiScope,
        record: Callable[[UsageRecord], None],
        topic: str,
        call_type: CallType,
        prompt: Prompt,
        options: CallOptions,
    ) -> None:
        """Prepare a call; nothing is sent.

        Raises:
            UnknownModelError: The registry does not have the model.
        """
        self._scope = scope
        self._prompt = prompt
        self._options = options
        self.model: AiModel = scope.model(options.get("model"))
        self.steps_max = options.get("steps_max", STEPS_MAX_DEFAULT)
        self.entry = Entry(
            record=record,
            meter=Meter(self.model, is_dry=scope.is_dry_run),
            topic=topic,
            call_type=call_type,
            prompt=shown(prompt, options.get("instructions", "")),
            metadata=_metadata(scope, options),
            contents=options.get("contents"),
        )

    async def text(self) -> TextResult:
        """Let the model write."""
        agent = await self.agent(str)
        with self.booked():
            result = await agent.run(**self.arguments())
        self.entry.book(result.output)
        return self.text_result(result.output)

    async def object(self, output_type: type[T]) -> ObjectResult[T]:
        """Let the model write a value of a type."""
        agent = await self.agent(output_type)
        with self.booked():
            result = await agent.run(**self.arguments())
        self.entry.book(jsonable(result.output))
        last = self.entry.meter.last
        return ObjectResult(
            value=cast("T", result.output),
            reasoning=(last.thinking or "") if last else "",
            model_id=self.entry.model_id,
            usage=self.entry.usage(),
        )

    def text_result(self, text: str) -> TextResult:
        """Return what the model wrote, with what it took."""
        last = self.entry.meter.last
        return TextResult(
            text=text,
            reasoning=(last.thinking or "") if last else "",
            finish_reason=(last.finish_reason or "") if last else "",
            model_id=self.entry.model_id,
            usage=self.entry.usage(),
        )

    async def agent(self, output_type: type[Any]) -> Agent[None, Any]:
        """Return what runs the call.

        Raises:
            AiError: The model cannot be had: no library, no key, not the kind of model.
        """
        writer = await self._writer(output_type)
        options = self._options
        corrections = options.get("corrections_max", CORRECTIONS_MAX_DEFAULT)
        return Agent(
            MeteredModel(writer, self.entry.meter, self._scope.retries_max(options.get("max_retries"))),
            output_type=output_type,
            instructions=options.get("instructions") or None,
            tools=list(options.get("tools", ())),
            retries=corrections,
            model_settings=settings_of(self._scope, options, writer),
            name=self.entry.topic,
        )

    async def _writer(self, output_type: type[Any]) -> Model:
        if self._scope.is_dry_run:
            return dry_writer(output_type)
        return await (await self._scope.runtime.clients()).writer(self.model)

    def arguments(self) -> dict[str, Any]:
        """Return what the agent is run with."""
        return {
            "user_prompt": content_of(self._prompt),
            "usage_limits": UsageLimits(request_limit=self.steps_max),
        }

    @contextmanager
    def booked(self) -> Iterator[None]:
        """Book the call when the block raises, and raise our own error."""
        try:
            yield
        except BaseException as error:
            said = self.our_error(error)
            self.entry.book(error=said)
            if said is error:
                raise
            raise said from error

    def our_error(self, error: BaseException) -> BaseException:
        """Return our own error for one of the library; any other as it is."""
        if not isinstance(error, Exception):
            return error
        last = self.entry.meter.last
        text = (last.text or "") if last else ""
        return translated(error, self.model.key, steps_max=self.steps_max, text=text)


def common_settings(options: CommonOptions) -> dict[str, Any]:
    """Return the settings that every call has."""
    settings: dict[str, Any] = {}
    timeout: timedelta | None = options.get("timeout")
    if timeout is not None:
        settings["request_timeout"] = timeout.total_seconds()
    return settings


def settings_of(scope: AiScope, options: CallOptions, writer: Model) -> ModelSettings:
    """Return the settings of a call that writes: its options' over the stage's config's."""
    settings = common_settings(options)
    if "max_retries" not in writer.unsupported_settings:
        settings["max_retries"] = 0  # We send again ourselves, and count it.
    if "reasoning" in options:
        settings["thinking"] = options["reasoning"]
    if "temperature" in options:
        settings["temperature"] = options["temperature"]
    elif scope.defaults.temperature is not None and _takes_temperature(writer, options):
        settings["temperature"] = scope.defaults.temperature
    max_tokens = options.get("max_tokens", scope.defaults.max_tokens)
    if max_tokens is not None:
        settings["max_tokens"] = max_tokens
    return cast("ModelSettings", settings | dict(options.get("provider_options", {})))


def _takes_temperature(writer: Model, options: CallOptions) -> bool:
    """Whether a model takes a temperature that nobody asked for in so many words: models that reason often refuse it."""
    profile = cast("dict[str, Any]", writer.profile)
    if profile.get("anthropic_disallows_sampling_settings"):
        return False
    reasons = options.get("reasoning", profile.get("thinking_enabled_by_default", False))
    return not (profile.get("openai_supports_reasoning") and reasons)


def _metadata(scope: AiScope, options: CallOptions) -> dict[str, Any]:
    known = {"temperature": scope.defaults.temperature, "max_tokens": scope.defaults.max_tokens}
    said = {
        name: options.get(name, default)
        for name, default in known.items()
        if options.get(name, default) is not None
    }
    return said | dict(options.get("metadata", {}))


def content_of(prompt: Prompt) -> str | Sequence[UserContent]:
    """Return a prompt as the library takes it."""
    if isinstance(prompt, str):
        return prompt
    return [
        BinaryContent(each.data, media_type=each.media_type) if isinstance(each, Media) else each
        for each in prompt
    ]
