"""The real providers' clients, pointed at a fake provider."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from stageline_sdk.ai.testing import FakeProvider


@dataclass(frozen=True)
class Kind:
    """A model of a provider, and how to reach it."""

    name: str
    model: str
    connect: Callable[[FakeProvider], tuple[Model[Any], Any]]


def _chat(fake: FakeProvider) -> tuple[Model[Any], Any]:
    provider = OpenAIProvider(base_url=fake.base_url("openai"), api_key="k")
    return OpenAIChatModel("gpt-5-mini", provider=provider), provider


def _responses(fake: FakeProvider) -> tuple[Model[Any], Any]:
    provider = OpenAIProvider(base_url=fake.base_url("openai"), api_key="k")
    return OpenAIResponsesModel("gpt-5-mini", provider=provider), provider


def _anthropic(fake: FakeProvider) -> tuple[Model[Any], Any]:
    provider = AnthropicProvider(base_url=fake.base_url("anthropic"), api_key="k")
    return AnthropicModel("claude-haiku-4-5", provider=provider), provider


def _gemini(fake: FakeProvider) -> tuple[Model[Any], Any]:
    provider = GoogleProvider(base_url=fake.base_url("google"), api_key="k")
    return GoogleModel("gemini-2.5-flash", provider=provider), provider


CHAT = Kind("openai-chat", "gpt-5-mini", _chat)
RESPONSES = Kind("openai-responses", "gpt-5-mini", _responses)
ANTHROPIC = Kind("anthropic", "claude-haiku-4-5", _anthropic)
GEMINI = Kind("gemini", "gemini-2.5-flash", _gemini)
KINDS = [CHAT, RESPONSES, ANTHROPIC, GEMINI]


@asynccontextmanager
async def connected(kind: Kind, fake: FakeProvider) -> AsyncIterator[Model[Any]]:
    """A model of this kind that speaks to the fake; its connections are closed in the end."""
    model, provider = kind.connect(fake)
    async with provider:
        yield model
