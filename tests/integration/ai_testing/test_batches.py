"""The batches of the fake provider, through the real providers' clients."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from google.genai.types import InlinedRequest
from openai import APIConnectionError
from pydantic import TypeAdapter
from pydantic_ai import ModelHTTPError
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelRequest, ModelResponse, UserPromptPart
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.batch import Batch, BatchRequest
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_core import to_json

from stageline_sdk.ai.testing import Asked, BatchPlan, Failure, FakeProvider, Reply, Tokens
from tests.integration.ai_testing.models import ANTHROPIC, GEMINI, RESPONSES, Kind, connected

TOKENS = Tokens(input=1000, cached=400, output=200, reasoning=50)
COSTS = {
    "openai-responses": Decimal("0.00028"),
    "anthropic": Decimal("0.00082"),
    "gemini": Decimal("0.000352"),
}
HANDLE = TypeAdapter(Batch)

each_kind = pytest.mark.parametrize("kind", [RESPONSES, ANTHROPIC, GEMINI], ids=lambda kind: kind.name)


def echo(asked: Asked) -> Reply:
    return Reply(text=f"heard {asked.prompt}", tokens=TOKENS)


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    with FakeProvider(echo) as provider:
        yield provider


def asking(*ids: str) -> list[BatchRequest]:
    return [
        BatchRequest(custom_id=each, messages=[ModelRequest(parts=[UserPromptPart(content=each)])])
        for each in ids
    ]


async def submitted(model: Model[Any], requests: list[BatchRequest]) -> Batch:
    return await model.batch_create([await model.batch_encode(each) for each in requests])


async def decoded(model: Model[Any], batch: Batch) -> dict[str, ModelResponse | str]:
    """The answer to each item, or why there is none."""
    found: dict[str, ModelResponse | str] = {}
    for result in await model.batch_results(batch):
        (request,) = asking(result.custom_id)
        try:
            found[result.custom_id] = model.batch_decode(result, request)
        except ModelAPIError as error:
            found[result.custom_id] = "refused" if isinstance(error, ModelHTTPError) else "not run"
    return found


@each_kind
async def test_a_batch_ends_after_its_polls_and_is_charged_once_however_often_it_is_fetched(
    kind: Kind, fake: FakeProvider
) -> None:
    fake.plan_batches(BatchPlan(pending_polls=2, item_failures={"b": Failure(status=400, message="no")}))
    async with connected(kind, fake) as model:
        handle = HANDLE.dump_json(await submitted(model, asking("a", "b", "c")))
    assert fake.bill.charges == []
    async with connected(kind, fake) as model:  # as another process would, with the handle alone
        batch = HANDLE.validate_json(handle)
        states = [(await model.batch_status(batch)).status for _ in range(3)]
        batch = await model.batch_status(batch)
        first, second = await decoded(model, batch), await decoded(model, batch)
    assert states == ["in_progress", "in_progress", "ended"]
    assert first.keys() == second.keys() == {"a", "b", "c"}
    assert first["b"] == "refused"
    answer = first["a"]
    assert isinstance(answer, ModelResponse)
    assert (answer.text, answer.cost().total_price) == ("heard a", COSTS[kind.name])
    assert [(each.custom_id, each.cost_usd) for each in fake.bill.charges] == [
        ("a", COSTS[kind.name]),
        ("c", COSTS[kind.name]),
    ]
    assert {each.batch_id for each in fake.bill.charges} == {fake.batches[0].id}


@each_kind
async def test_of_a_batch_that_expired_what_was_done_is_there_and_charged(
    kind: Kind, fake: FakeProvider
) -> None:
    fake.plan_batches(BatchPlan(ending="expired", finished_ids=frozenset({"a"})))
    async with connected(kind, fake) as model:
        batch = await model.batch_status(await submitted(model, asking("a", "b")))
        found = await decoded(model, batch)
    assert batch.status == "ended"
    answer = found["a"]
    assert isinstance(answer, ModelResponse)
    # Gemini's results leave out what was not run.
    assert found.get("b", "not run") == "not run"
    assert [each.custom_id for each in fake.bill.charges] == ["a"]


@each_kind
async def test_a_batch_that_failed_whole_has_errors_for_all(kind: Kind, fake: FakeProvider) -> None:
    fake.plan_batches(BatchPlan(ending="failed"))
    async with connected(kind, fake) as model:
        batch = await model.batch_status(await submitted(model, asking("a", "b")))
        if kind is GEMINI:
            with pytest.raises(ModelHTTPError):
                await model.batch_results(batch)
        else:
            assert set((await decoded(model, batch)).values()) == {"refused"}
    assert fake.bill.charges == []


@each_kind
async def test_a_cancelled_batch_ends_and_its_items_cost_nothing(kind: Kind, fake: FakeProvider) -> None:
    fake.plan_batches(BatchPlan(is_held=True))
    async with connected(kind, fake) as model:
        batch = await submitted(model, asking("a", "b"))
        assert (await model.batch_status(batch)).status == "in_progress"
        assert (await model.batch_cancel(batch)).status in {"canceling", "ended"}
        assert (await model.batch_status(batch)).status == "ended"
    assert fake.bill.charges == []


@each_kind
async def test_a_held_batch_ends_when_it_is_released(kind: Kind, fake: FakeProvider) -> None:
    fake.plan_batches(BatchPlan(is_held=True))
    async with connected(kind, fake) as model:
        batch = await submitted(model, asking("a"))
        before = (await model.batch_status(batch)).status
        fake.release()
        after = (await model.batch_status(batch)).status
    assert (before, after) == ("in_progress", "ended")


@each_kind
async def test_a_refused_batch_does_not_exist(kind: Kind, fake: FakeProvider) -> None:
    fake.plan_batches(BatchPlan(refusal=Failure(status=400, message="no batches today")))
    async with connected(kind, fake) as model:
        with pytest.raises(Exception, match="no batches today"):
            await submitted(model, asking("a"))
    assert fake.batches == []
    assert fake.files == [], "a client that was refused takes its input file away"


async def test_openais_batches_are_found_by_their_metadata_after_a_lost_reply(fake: FakeProvider) -> None:
    fake.plan_batches(BatchPlan(is_reply_lost=True))
    async with connected(RESPONSES, fake) as model:
        assert isinstance(model, OpenAIResponsesModel)
        client = model.client.with_options(max_retries=0)
        line = {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/responses",
            "body": {"model": "m", "input": "x"},
        }
        file = await client.files.create(file=("in.jsonl", to_json(line)), purpose="batch")

        async def create(key: str) -> None:
            await client.batches.create(
                input_file_id=file.id,
                endpoint="/v1/responses",
                completion_window="24h",
                metadata={"submit_key": key},
            )

        with pytest.raises(APIConnectionError):
            await create("lost")
        await create("heard")
        found = [each.metadata async for each in client.batches.list(limit=1)]
    assert found == [{"submit_key": "heard"}, {"submit_key": "lost"}]


async def test_anthropics_batches_are_listed_after_a_lost_reply(fake: FakeProvider) -> None:
    fake.plan_batches(BatchPlan(is_reply_lost=True))
    async with connected(ANTHROPIC, fake) as model:
        assert isinstance(model, AnthropicModel)
        client = model.client
        assert isinstance(client, AsyncAnthropic)
        with pytest.raises(ModelAPIError):
            await submitted(model, asking("a"))
        await submitted(model, asking("b"))
        found = [each.id async for each in client.beta.messages.batches.list(limit=1)]
    assert found == [job.id for job in reversed(fake.batches)]


async def test_geminis_batches_are_found_by_their_display_name(fake: FakeProvider) -> None:
    async with connected(GEMINI, fake) as model:
        assert isinstance(model, GoogleModel)
        client = model.client.aio
        for name in ("first", "second"):
            await client.batches.create(
                model="gemini-2.5-flash",
                src=[InlinedRequest(contents="hi", metadata={"key": name})],
                config={"display_name": name},
            )
        found = [each async for each in await client.batches.list(config={"page_size": 1})]
        assert [each.display_name for each in found] == ["second", "first"]
        ended = await client.batches.get(name=found[0].name or "")
    assert ended.dest is not None
    assert [each.response.text for each in ended.dest.inlined_responses or () if each.response] == [
        "heard hi"
    ]
