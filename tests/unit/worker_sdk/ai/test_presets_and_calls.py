"""What a stage's config does to its AI calls: bounds, retries, dry runs."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import BaseModel
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo

from stageline_sdk import Context, NoInput, stage
from stageline_sdk.ai import RateLimitedError
from stageline_sdk.presets import ConcurrencyConfig, DebugConfig
from stageline_sdk.testing import StageEnvironment
from tests.unit.worker_sdk.ai.scripted import busy, registry_of, response, saying


class Counting:
    """Counts how many calls are in at once; each stays in until as many as may be are, or nobody else comes."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self._lock = threading.Lock()

    @contextmanager
    def _entered(self) -> Iterator[None]:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            yield
        finally:
            with self._lock:
                self.inside -= 1

    async def answer(self, _messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        with self._entered():
            for _ in range(20):
                await asyncio.sleep(0)
        return response("x")


@stage("crowd")
async def crowd(ctx: Context[NoInput, ConcurrencyConfig]) -> int:
    return len(await asyncio.gather(*(ctx.ai.generate_text("?") for _ in range(8))))


@stage("limited")
async def limited(ctx: Context[NoInput, ConcurrencyConfig]) -> int:
    async def call(_item: int) -> str:
        return (await ctx.ai.generate_text("?")).text

    return len(await ctx.limiter.gather(call, range(8)))


@stage("threads")
def threads(ctx: Context[NoInput, ConcurrencyConfig]) -> int:
    return len(ctx.limiter.map(lambda _item: ctx.ai.sync.generate_text("?").text, range(8)))


@pytest.mark.parametrize("name", ["crowd", "limited", "threads"])
async def test_calls_keep_to_the_stages_bounds_however_they_are_made(name: str) -> None:
    chosen = {each.id: each for each in (crowd, limited, threads)}[name]
    counting = Counting()
    environment = StageEnvironment(models=registry_of(counting.answer))
    assert await environment.run(chosen, config=ConcurrencyConfig(concurrency=2)) == 8
    assert counting.most == 2
    assert len(environment.usage) == 8


async def test_a_call_within_a_stream_or_a_limited_call_does_not_wait_for_itself() -> None:
    @stage("nested")
    async def nested(ctx: Context[NoInput, ConcurrencyConfig]) -> str:
        async def tool() -> str:
            """Ask somebody else."""
            return (await ctx.ai.child("tool").generate_text("?")).text

        return (await ctx.ai.generate_text("?", tools=[tool])).text

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        first = bool(info.function_tools) and len(messages) == 1
        return response(ToolCallPart("tool", {})) if first else response("done")

    environment = StageEnvironment(models=registry_of(answer))
    assert await environment.run(nested, config=ConcurrencyConfig(concurrency=1)) == "done"
    assert [record.topic for record in environment.usage] == ["nested.tool", "nested"]


async def test_retries_are_those_of_the_config_and_do_not_multiply_with_the_limiters() -> None:
    config = ConcurrencyConfig(max_retries=3)
    plain = StageEnvironment(models=registry_of(saying(busy())))

    @stage("direct")
    async def direct(ctx: Context[NoInput, ConcurrencyConfig]) -> str:
        return (await ctx.ai.generate_text("?")).text

    @stage("through")
    async def through(ctx: Context[NoInput, ConcurrencyConfig]) -> str:
        return (await ctx.limiter.call(lambda: ctx.ai.generate_text("?"))).text

    with pytest.raises(RateLimitedError):
        await plain.run(direct, config=config)
    assert [record.metadata["requests"] for record in plain.usage] == [4]
    plain.usage.clear()
    with pytest.raises(RateLimitedError):
        await plain.run(through, config=config)
    assert [record.metadata["requests"] for record in plain.usage] == [1, 1, 1, 1]


class Note(BaseModel):
    title: str
    lines: list[str]


def must_not_be_called(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    raise AssertionError("a dry run calls no model")


async def test_a_dry_run_calls_no_model_and_books_nothing() -> None:
    def tool() -> str:
        """Change something outside."""
        raise AssertionError("a dry run calls no tool")

    @stage("dry")
    async def dry(ctx: Context[NoInput, DebugConfig]) -> list[str]:
        text = await ctx.ai.generate_text("?", tools=[tool])
        note = await ctx.ai.generate_object("?", Note)
        vectors = await ctx.ai.embed(["a", "b"], model="e", dimensions=4)
        async with ctx.ai.stream_text("?") as stream:
            pieces = [piece async for piece in stream]
        assert text.usage.cost_usd == 0
        assert (text.usage.input_tokens, text.usage.requests) == (0, 0)
        assert isinstance(note.value, Note)
        assert (len(vectors.vectors), vectors.dimensions) == (2, 4)
        return [text.text, "".join(pieces)]

    environment = StageEnvironment(models=registry_of(must_not_be_called))
    said = await environment.run(dry, config=DebugConfig(dry_run=True))
    assert said == ["(dry run: no model was called)"] * 2
    assert environment.usage == []
