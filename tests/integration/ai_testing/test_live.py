"""The fake provider answers the real providers' clients, and its bill says what they read."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError
from pydantic_ai.embeddings import Embedder
from pydantic_ai.embeddings.google import GoogleEmbeddingModel
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from stageline_sdk.ai.testing import Failure, FakeProvider, NotAskedError, Reply, Tokens, ToolCall
from tests.integration.ai_testing.models import CHAT, KINDS, RESPONSES, Kind, connected

TOKENS = Tokens(input=1000, cached=400, output=200, reasoning=50)
COSTS = {
    "openai-chat": Decimal("0.00056"),
    "openai-responses": Decimal("0.00056"),
    "anthropic": Decimal("0.00164"),
    "gemini": Decimal("0.000692"),
}

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


class City(BaseModel):
    name: str
    inhabitants: int
    rivers: list[str]


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        yield provider


@each_kind
async def test_text_tokens_and_cost_are_what_the_bill_says(kind: Kind, fake: FakeProvider) -> None:
    fake.answer(Reply(text="Paris, of course.", reasoning="They ask of France.", tokens=TOKENS))
    async with connected(kind, fake) as model:
        result = await Agent(model, instructions="Be short.").run("The capital of France?")
    assert (result.output, result.response.thinking) == ("Paris, of course.", "They ask of France.")
    usage = result.usage
    assert (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens) == (1000, 400, 200)
    (charge,) = fake.bill.charges
    assert (charge.tokens, charge.model, charge.cost_usd) == (TOKENS, kind.model, COSTS[kind.name])
    assert result.response.cost().total_price == charge.cost_usd
    assert result.response.provider_response_id == charge.request_id
    (asked,) = fake.asked
    assert (asked.prompt, asked.texts[0]) == ("The capital of France?", "Be short.")


@each_kind
async def test_a_stream_comes_in_pieces_with_its_usage_at_the_end(kind: Kind, fake: FakeProvider) -> None:
    fake.answer(Reply(text="one two three", reasoning="count up", tokens=TOKENS))
    async with connected(kind, fake) as model, Agent(model).run_stream("Count.") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert "".join(pieces) == "one two three"
    assert len([piece for piece in pieces if piece]) == 3
    assert stream.response.thinking == "count up"
    assert stream.response.cost().total_price == fake.bill.total_usd == COSTS[kind.name]


@each_kind
async def test_a_schema_is_answered_by_a_value_that_fits(kind: Kind, fake: FakeProvider) -> None:
    async with connected(kind, fake) as model:
        result = await Agent(model, output_type=City).run("Describe one.")
    assert result.output == City(name="some name", inhabitants=1, rivers=["some rivers"])
    assert fake.asked[0].schema is not None


@each_kind
async def test_a_scripted_value_answers_and_a_wrong_one_is_asked_for_again(
    kind: Kind, fake: FakeProvider
) -> None:
    right = {"name": "Rome", "inhabitants": 2_700_000, "rivers": ["Tiber"]}
    fake.answer(Reply(value={"name": "Rome"}), Reply(value=right))
    async with connected(kind, fake) as model:
        result = await Agent(model, output_type=City).run("Describe Rome.")
    assert result.output == City.model_validate(right)
    assert len(fake.bill.charges) == 2, "an answer that was no use is charged all the same"


@each_kind
async def test_broken_json_is_told_as_such_and_charged(kind: Kind, fake: FakeProvider) -> None:
    fake.answer(Reply(text='{"name": "Ro'), Reply(text='{"name": "Ro'))
    async with connected(kind, fake) as model:
        with pytest.raises(UnexpectedModelBehavior):
            await Agent(model, output_type=City, retries=1).run("Describe Rome.")
    assert len(fake.bill.charges) == 2


@each_kind
async def test_tools_are_called_with_their_arguments_and_the_results_come_back(
    kind: Kind, fake: FakeProvider
) -> None:
    fake.answer(Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),)), "Take a coat.")
    heard: list[str] = []

    def weather(city: str) -> str:
        heard.append(city)
        return "snow"

    async with connected(kind, fake) as model:
        result = await Agent(model, tools=[weather]).run("What to wear in Oslo?")
    assert (result.output, heard) == ("Take a coat.", ["Oslo"])
    assert [asked.tool_results for asked in fake.asked] == [0, 1]
    assert list(fake.asked[0].tools) == ["weather"]


@each_kind
async def test_a_streamed_value_and_tool_call_arrive(kind: Kind, fake: FakeProvider) -> None:
    fake.answer(Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),)))

    def weather(city: str) -> str:
        return f"snow in {city}"

    async with connected(kind, fake) as model:
        agent = Agent(model, output_type=City, tools=[weather])
        async with agent.run_stream("Describe Oslo.") as stream:
            assert (await stream.get_output()).name == "some name"


@each_kind
async def test_nothing_that_was_refused_is_charged(kind: Kind, fake: FakeProvider) -> None:
    fake.answer(*[Failure(status=500, message="on fire")] * 8)
    async with connected(kind, fake) as model:
        with pytest.raises(ModelHTTPError, match="on fire") as raised:
            await Agent(model, model_settings={"max_retries": 0}).run("Hello?")
    assert raised.value.status_code == 500
    assert fake.bill.charges == []


@pytest.mark.parametrize(
    "kind", [each for each in KINDS if each.name != "gemini"], ids=lambda kind: kind.name
)
async def test_a_client_waits_and_asks_again_when_told_that_it_asks_too_often(
    kind: Kind, fake: FakeProvider
) -> None:
    fake.answer(Failure.rate_limited(), "At last.")
    async with connected(kind, fake) as model:
        result = await Agent(model).run("Hello?")
    assert result.output == "At last."
    assert (len(fake.asked), len(fake.bill.charges)) == (2, 1)


@each_kind
async def test_a_stream_that_is_cut_fails_and_is_charged(kind: Kind, fake: FakeProvider) -> None:
    fake.answer(*[Reply(text="one two three", cut_after_chunks=2)] * 8)
    async with connected(kind, fake) as model:
        agent = Agent(model, model_settings={"max_retries": 0})

        async def read() -> None:
            async with agent.run_stream("Count.") as stream:
                async for _ in stream.stream_text(delta=True, debounce_by=None):
                    pass

        with pytest.raises(ModelAPIError):
            await read()
    assert len(fake.bill.charges) == len(fake.asked) == 1


@each_kind
async def test_an_answer_that_is_lost_was_charged(kind: Kind, fake: FakeProvider) -> None:
    fake.answer(*[Reply(text="never heard", is_lost=True)] * 8)
    async with connected(kind, fake) as model:
        with pytest.raises(ModelAPIError):
            await Agent(model, model_settings={"max_retries": 0}).run("Hello?")
    assert len(fake.bill.charges) == len(fake.asked)


async def test_openai_embeds_one_and_many(fake: FakeProvider) -> None:
    async with OpenAIProvider(base_url=fake.base_url("openai"), api_key="k") as provider:
        embedder = Embedder(OpenAIEmbeddingModel("text-embedding-3-small", provider=provider))
        many = await embedder.embed_documents(["a cat", "a dog"])
        one = await embedder.embed_query("a cat")
    assert [round(number, 5) for number in many[0]] == [round(number, 5) for number in one[0]]
    assert many[0] != many[1]
    assert sum(number * number for number in one[0]) == pytest.approx(1, abs=1e-4)
    assert [charge.tokens.input for charge in fake.bill.charges] == [3, 2]
    assert one.cost().total_price == fake.bill.charges[1].cost_usd


async def test_gemini_embeds_and_tells_no_tokens(fake: FakeProvider) -> None:
    async with GoogleProvider(base_url=fake.base_url("google"), api_key="k") as provider:
        embedder = Embedder(GoogleEmbeddingModel("gemini-embedding-001", provider=provider))
        result = await embedder.embed_documents(["a cat", "a dog"], settings={"dimensions": 4})
    assert [len(each) for each in result.embeddings] == [4, 4]
    assert result.usage.input_tokens == 0
    assert fake.bill.total_usd > 0, "who asks cannot know, but it costs"


def test_a_request_without_a_key_is_refused(fake: FakeProvider) -> None:
    request = urllib.request.Request(f"{fake.base_url('anthropic')}/v1/messages", data=b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(request)
    with refused.value as body:
        assert json.load(body)["error"]["type"] == "authentication_error"
    assert fake.asked == []


async def test_a_held_stream_goes_on_when_it_is_released(fake: FakeProvider) -> None:
    fake.answer(Reply(text="one two three", held_after_chunks=1))
    async with connected(RESPONSES, fake) as model, Agent(model).run_stream("Count.") as stream:
        pieces = stream.stream_text(delta=True, debounce_by=None)
        first = await anext(pieces)
        await asyncio.to_thread(fake.wait_for_held)
        fake.release()
        rest = [piece async for piece in pieces]
    assert (first, "".join(rest)) == ("one", " two three")


async def test_many_wait_at_one_time(fake: FakeProvider) -> None:
    """A slow answer keeps nobody else waiting."""
    fake.answer(*[Reply(text="slow", is_held=True)] * 20, when=lambda asked: asked.prompt == "slow?")
    async with connected(CHAT, fake) as model:
        agent = Agent(model)
        slow = [asyncio.create_task(agent.run("slow?")) for _ in range(20)]
        await asyncio.to_thread(fake.wait_for_held, 20)
        assert (await agent.run("fast?")).output == "A made-up answer to: fast?"
        fake.release()
        assert {(await each).output for each in slow} == {"slow"}


def test_a_wait_for_what_does_not_come_tells_what_is_there(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stageline_sdk.ai.testing.provider.WAIT_WITHIN", timedelta(milliseconds=1))
    with pytest.raises(NotAskedError, match="2 requests, there are 0"):
        fake.wait_for_asked(2)
