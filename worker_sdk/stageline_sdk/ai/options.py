"""What may be said to a call of a model, beside its prompt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypedDict, get_type_hints

from stageline_sdk.ai.records import Contents

Reasoning = bool | Literal["minimal", "low", "medium", "high"]
"""How much a model reasons before it answers; True is the provider's own measure."""

STEPS_MAX_DEFAULT = 10
CORRECTIONS_MAX_DEFAULT = 1
RETRIES_MAX_DEFAULT = 2


@dataclass(frozen=True, slots=True)
class Media:
    """A picture, a sound or a document in a prompt. The ledger keeps its type and size, never its bytes.

    Attributes:
        data: Its bytes.
        media_type: Such as `image/png` or `application/pdf`.
    """

    data: bytes
    media_type: str


Prompt = str | Sequence[str | Media]
"""A text, or texts and media in their order."""


class CommonOptions(TypedDict, total=False):
    """What every call takes.

    Attributes:
        model: Key of a model in the registry.
        max_retries: How often a request that failed for a moment is sent again: rate limits, the provider's failures,
            broken connections. Default: of the stage's ConcurrencyConfig, else 2; 0 inside of a call by `ctx.limiter`.
        timeout: For one request, from sending to the end of the answer. Default: the provider's library's own.
        provider_options: Settings of pydantic-ai, passed on untouched, such as `{"openai_reasoning_summary": "auto"}`,
            `{"seed": 7}` or `{"extra_body": {...}}`; they go before all others.
        topic: What the call is for; added to the topic of `ctx.ai`.
        metadata: More about it, kept with its record.
        contents: Keeps less of prompt and answer in the ledger than the server would: `hash` or `none`.
    """

    model: str
    max_retries: int
    timeout: timedelta
    provider_options: Mapping[str, Any]
    topic: str
    metadata: Mapping[str, Any]
    contents: Contents


class CallOptions(CommonOptions, total=False):
    """What calls that write take.

    Attributes:
        instructions: What goes before the prompt, as the system's word.
        temperature: How freely it answers, from 0. Default: of the stage's AI config, where the model takes one.
        max_tokens: Tokens of one answer at most. Default: of the stage's AI config, else the model's own.
        reasoning: How much it reasons first. Default: the model's own.
        tools: Functions that the model may call, `def` or `async def`, typed and with a docstring: both are told to it.
        steps_max: Requests to the model at most, tools and corrections included. Default 10; one more raises StepLimitError.
        corrections_max: How often the model may correct an answer that does not fit, or a bad call of a tool. Default 1.
    """

    instructions: str
    temperature: float
    max_tokens: int
    reasoning: Reasoning
    tools: Sequence[Callable[..., Any]]
    steps_max: int
    corrections_max: int


class EmbedOptions(CommonOptions, total=False):
    """What embeddings take.

    Attributes:
        purpose: Whether the texts are `document`s to be found, the default, or a `query`: some models tell them apart.
        dimensions: How long the vectors are to be. Default: the model's own; not every model can shorten them.
    """

    purpose: Literal["document", "query"]
    dimensions: int


def check_options(kind: type[Any], given: Mapping[str, Any]) -> None:
    """Refuse options that no call of a kind has, and numbers out of their range.

    Raises:
        TypeError: There is no such option.
        ValueError: A number is below its least value.
    """
    known = get_type_hints(kind)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(f"there is no option {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    for name, least in (("max_tokens", 1), ("steps_max", 1), ("dimensions", 1)):
        _check_least(given, name, least)
    for name in ("max_retries", "corrections_max", "temperature"):
        _check_least(given, name, 0)


def _check_least(given: Mapping[str, Any], name: str, least: int) -> None:
    if name in given and given[name] < least:
        raise ValueError(f"{name} must be {least} or more, got {given[name]}")
