"""Answers in pieces: one record for each, however it ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelConnectionError
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart

from stageline_sdk import Context, NoInput, StageCancelledError, stage
from stageline_sdk.ai import ProviderUnavailableError, RateLimitedError
from stageline_sdk.cancellation import CancelSource
from stageline_sdk.testing import StageEnvironment
from tests.unit.worker_sdk.ai.scripted import Desk, busy, registry_of


async def words(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Any]:
    yield {0: DeltaThinkingPart(content="which words?")}
    for word in ("one ", "two ", "three"):
        yield word


async def broken(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Any]:
    yield "one "
    raise ModelConnectionError("m", "reset", phase="read")


async def test_the_pieces_are_the_text_and_the_record_is_written_once() -> None:
    made = Desk(registry_of(pieces=words))
    async with made.ai.stream_text("Count") as stream:
        with pytest.raises(RuntimeError, match="the stream has not ended"):
            _ = stream.result
        pieces = [piece async for piece in stream]
        result = stream.result
    assert (pieces, result.text, result.reasoning) == (
        ["one ", "two ", "three"],
        "one two three",
        "which words?",
    )
    assert (made.record.call_type, made.record.response, made.record.error) == ("stream", "one two three", "")
    assert made.record.cost_usd is not None
    assert "unmeasured_requests" not in made.record.metadata


async def test_a_stream_that_is_left_early_is_recorded_with_what_came() -> None:
    made = Desk(registry_of(pieces=words))
    async with made.ai.stream_text("Count") as stream:
        async for _piece in stream:
            break
    assert (made.record.response, made.record.error) == ("one ", "")
    # What the provider charges for the rest nobody told.
    assert made.record.metadata["unmeasured_requests"] == 1
    assert stream.result.text == "one "


async def test_an_error_of_the_block_leaves_a_record_and_passes() -> None:
    made = Desk(registry_of(pieces=words))

    async def read() -> None:
        async with made.ai.stream_text("Count") as stream:
            async for _piece in stream:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await read()
    assert made.record.error.startswith("ZeroDivisionError")


async def test_a_stream_that_breaks_is_our_own_error_with_what_came_before() -> None:
    made = Desk(registry_of(pieces=broken))
    pieces: list[str] = []

    async def read() -> None:
        async with made.ai.stream_text("Count") as stream:
            async for piece in stream:
                pieces.append(piece)

    with pytest.raises(ProviderUnavailableError, match="reset"):
        await read()
    assert pieces == ["one "]
    assert made.record.response == "one "
    assert made.record.error.startswith("ProviderUnavailableError")
    assert made.record.metadata["requests"] == 1


async def test_a_stream_that_did_not_begin_is_asked_for_again() -> None:
    tries: list[int] = []

    async def late(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        tries.append(1)
        if len(tries) < 3:
            raise busy()
        async for piece in words(messages, info):
            yield piece

    made = Desk(registry_of(pieces=late))
    async with made.ai.stream_text("Count") as stream:
        assert [piece async for piece in stream][-1] == "three"
    assert made.record.metadata["retries"] == 2

    tries.clear()
    made.records.clear()
    with pytest.raises(RateLimitedError):
        async with made.ai.stream_text("Count", max_retries=0):
            raise AssertionError("the block must not begin")
    assert made.record.error.startswith("RateLimitedError")


async def test_a_cancelled_reader_leaves_a_record() -> None:
    made, reading = Desk(registry_of(pieces=endless)), asyncio.Event()

    async def read() -> None:
        async with made.ai.stream_text("Count") as stream:
            async for _piece in stream:
                reading.set()

    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made.record.error == "the call was ended before its answer was complete"


async def endless(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Any]:
    while True:
        yield "more "
        await asyncio.sleep(0)


async def test_a_job_that_is_not_wanted_ends_its_stream() -> None:
    source = CancelSource()
    made = Desk(registry_of(pieces=endless), cancelled=source)

    async def read() -> None:
        async with made.ai.stream_text("Count") as stream:
            async for _piece in stream:
                source.cancel("enough")

    with pytest.raises(StageCancelledError):
        await read()
    assert made.record.error.startswith("StageCancelledError")


@stage("reader")
def reader(ctx: Context[NoInput]) -> list[str]:
    with ctx.ai.sync.stream_text("Count") as stream:
        pieces = list(stream)
        assert stream.result.text == "one two three"
    return pieces


@stage("leaver")
def leaver(ctx: Context[NoInput]) -> str:
    with ctx.ai.sync.stream_text("Count") as stream:
        return next(iter(stream))


@stage("failer")
def failer(ctx: Context[NoInput]) -> list[str]:
    with ctx.ai.sync.stream_text("Count") as stream:
        return list(stream)


def test_a_plain_stage_reads_a_stream() -> None:
    environment = StageEnvironment(models=registry_of(pieces=words))
    assert environment.run_sync(reader) == ["one ", "two ", "three"]
    assert [record.response for record in environment.usage] == ["one two three"]


def test_a_plain_stage_leaves_a_stream_early_and_it_is_recorded() -> None:
    environment = StageEnvironment(models=registry_of(pieces=endless))
    assert environment.run_sync(leaver) == "more "
    (record,) = environment.usage
    assert record.response.startswith("more ")
    assert record.error == ""


def test_a_plain_stage_gets_the_error_of_a_stream() -> None:
    environment = StageEnvironment(models=registry_of(pieces=broken))
    with pytest.raises(ProviderUnavailableError, match="reset"):
        environment.run_sync(failer)
    assert environment.usage[0].response == "one "


def test_a_plain_stage_gets_the_error_of_a_stream_that_did_not_begin() -> None:
    async def never(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Any]:
        for pause in (3600,):
            raise busy(pause)
        yield ""

    environment = StageEnvironment(models=registry_of(pieces=never))
    with pytest.raises(RateLimitedError):
        environment.run_sync(failer)
    assert environment.usage[0].error.startswith("RateLimitedError")
