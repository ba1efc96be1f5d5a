"""Stages tested with models that follow a script."""

from decimal import Decimal

import pytest
from pydantic import BaseModel

from stageline_sdk import Context, NoInput, stage
from stageline_sdk.ai import InvalidAnswerError, RequestRefusedError
from stageline_sdk.ai.testing import Failure, Reply, Tokens, ToolCall
from stageline_sdk.ai.testing.scripted import scripted_models
from stageline_sdk.testing import StageEnvironment


class City(BaseModel):
    name: str
    inhabitants: int


@stage("ask")
async def ask(ctx: Context[NoInput]) -> str:
    return (await ctx.ai.generate_text("?", model="gpt-5-mini")).text


@stage("describe")
async def describe(ctx: Context[NoInput]) -> City:
    return (await ctx.ai.generate_object("?", City, model="claude-haiku-4-5", corrections_max=1)).value


@stage("read")
async def read(ctx: Context[NoInput]) -> list[str]:
    async with ctx.ai.stream_text("?", model="gemini-2.5-flash") as pieces:
        return [piece async for piece in pieces]


async def test_the_script_is_followed_and_priced() -> None:
    env = StageEnvironment(
        models=scripted_models("Paris.", tokens=Tokens(input=1000, cached=400, output=200))
    )
    assert await env.run(ask) == "Paris."
    assert await env.run(ask) == "A made-up answer"
    assert [record.cost_usd for record in env.usage] == [Decimal("0.00056")] * 2


async def test_a_wrong_value_is_corrected_or_told() -> None:
    right, wrong = Reply(value={"name": "Rome", "inhabitants": 1}), Reply(value={"name": "Rome"})
    env = StageEnvironment(models=scripted_models(wrong, right, wrong, wrong))
    assert await env.run(describe) == City(name="Rome", inhabitants=1)
    with pytest.raises(InvalidAnswerError):
        await env.run(describe)
    assert (await env.run(describe)).name == "some name"


async def test_a_stream_comes_in_words() -> None:
    env = StageEnvironment(models=scripted_models("one two three"))
    assert await env.run(read) == ["one", " two", " three"]
    (record,) = env.usage
    assert record.cost_usd


async def test_a_failure_is_the_providers() -> None:
    env = StageEnvironment(models=scripted_models(Failure(status=400, message="no")))
    with pytest.raises(RequestRefusedError):
        await env.run(ask)


async def test_tools_are_called() -> None:
    heard: list[str] = []

    def weather(city: str) -> str:
        """Say how the weather is."""
        heard.append(city)
        return "snow"

    @stage("dress")
    async def dress(ctx: Context[NoInput]) -> str:
        return (await ctx.ai.generate_text("?", model="gpt-5-mini", tools=[weather])).text

    call = Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),))
    env = StageEnvironment(models=scripted_models(call, "A coat."))
    assert (await env.run(dress), heard) == ("A coat.", ["Oslo"])
