"""`ctx.ai` against the fake provider: the real clients over the wire, and the ledger against the provider's bill."""

from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import BaseModel

from stageline_sdk import Context, NoInput, stage
from stageline_sdk.ai import (
    InvalidAnswerError,
    KeyRefusedError,
    Media,
    ProviderUnavailableError,
    RateLimitedError,
    RequestRefusedError,
    StageAi,
    UsageRecord,
)
from stageline_sdk.ai._runtime import AiRuntime
from stageline_sdk.ai._scope import AiScope
from stageline_sdk.ai.testing import Failure, FakeProvider, Reply, Tokens, ToolCall
from stageline_sdk.testing import StageEnvironment
from tests.integration.ai.houses import registry_of

TOKENS = Tokens(input=1000, cached=400, output=200, reasoning=50)
KEYS = ["gpt-5-mini", "claude-haiku-4-5", "gemini-2.5-flash", "router", "house"]

each_model = pytest.mark.parametrize("key", KEYS)


class City(BaseModel):
    name: str
    inhabitants: int


class Books:
    """`ctx.ai` with its records, which is closed in the end."""

    def __init__(self, fake: FakeProvider) -> None:
        self.records: list[UsageRecord] = []
        self.runtime = AiRuntime(registry_of(fake))
        self.ai = StageAi("s", self._keep, AiScope(runtime=self.runtime))

    def _keep(self, record: UsageRecord) -> None:
        if not record.is_open:  # Its end will be told.
            self.records.append(record)

    async def __aenter__(self) -> "Books":
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.runtime.close()

    @property
    def total_usd(self) -> Decimal:
        return sum((record.cost_usd or Decimal(0) for record in self.records), Decimal(0))


@each_model
async def test_text_over_the_wire_costs_what_the_bill_says(key: str, fake: FakeProvider) -> None:
    fake.answer(Reply(text="Paris", tokens=TOKENS))
    async with Books(fake) as books:
        result = await books.ai.generate_text("The capital?", model=key, max_tokens=100)
    (record,) = books.records
    assert result.text == record.response == "Paris"
    assert (record.input_tokens, record.cached_input_tokens, record.output_tokens) == (1000, 400, 200)
    assert record.cost_usd == fake.bill.total_usd > 0
    assert record.cost_source == {"house": "caller", "router": "provider"}.get(key, "price-list")


async def test_a_model_that_is_told_no_limit_of_tokens_answers(fake: FakeProvider) -> None:
    """Anthropic's client streams then, for answers may be long."""
    fake.answer(Reply(text="Paris", tokens=TOKENS))
    async with Books(fake) as books:
        assert (await books.ai.generate_text("The capital?", model="claude-haiku-4-5")).text == "Paris"
    assert books.total_usd == fake.bill.total_usd


@each_model
async def test_an_object_over_the_wire_is_of_its_type(key: str, fake: FakeProvider) -> None:
    fake.answer(Reply(value={"name": "Rome", "inhabitants": 2}, tokens=TOKENS))
    async with Books(fake) as books:
        result = await books.ai.generate_object("Describe", City, model=key, max_tokens=100)
    assert result.value == City(name="Rome", inhabitants=2)
    assert books.total_usd == fake.bill.total_usd > 0


@each_model
async def test_a_stream_over_the_wire_is_booked_once(key: str, fake: FakeProvider) -> None:
    fake.answer(Reply(text="one two three", reasoning="count", tokens=TOKENS))
    async with Books(fake) as books, books.ai.stream_text("Count", model=key, max_tokens=100) as stream:
        pieces = [piece async for piece in stream]
    assert "".join(pieces) == stream.result.text == "one two three"
    (record,) = books.records
    assert (record.call_type, record.cost_usd) == ("stream", fake.bill.total_usd)


@each_model
async def test_tools_over_the_wire_are_one_record_of_all_requests(key: str, fake: FakeProvider) -> None:
    def look_up(word: str) -> str:
        """Explain a word."""
        return f"{word} is a fruit"

    fake.answer(
        Reply(tool_calls=(ToolCall("look_up", {"word": "fig"}),), tokens=TOKENS),
        Reply(text="A fruit.", tokens=TOKENS),
    )
    async with Books(fake) as books:
        result = await books.ai.generate_text("A fig?", tools=[look_up], model=key, max_tokens=100)
    assert result.text == "A fruit."
    (record,) = books.records
    assert (record.cost_usd, record.metadata["requests"]) == (fake.bill.total_usd, 2)


@pytest.mark.parametrize("key", ["text-embedding-3-small", "gemini-embedding-001"])
async def test_embeddings_over_the_wire(key: str, fake: FakeProvider) -> None:
    async with Books(fake) as books:
        result = await books.ai.embed(["a word", "another"], model=key)
    assert len(result.vectors) == 2
    (record,) = books.records
    if key.startswith("gemini"):  # It does not tell what it charges.
        assert (record.input_tokens, record.cost_usd) == (None, None)
    else:
        assert record.cost_usd == fake.bill.total_usd > 0


@each_model
async def test_a_rate_limit_over_the_wire_is_waited_out(key: str, fake: FakeProvider) -> None:
    fake.answer(Failure.rate_limited(), Failure.rate_limited(), Reply(text="at last", tokens=TOKENS))
    async with Books(fake) as books:
        assert (await books.ai.generate_text("?", model=key, max_tokens=100)).text == "at last"
    (record,) = books.records
    assert (record.metadata["retries"], record.cost_usd) == (2, fake.bill.total_usd)
    assert len(fake.asked) == 3


@each_model
async def test_failures_over_the_wire_are_our_own_errors(key: str, fake: FakeProvider) -> None:
    cases: list[tuple[Failure, type[Exception]]] = [
        (Failure(status=429, retry_after=timedelta(minutes=5)), RateLimitedError),
        (Failure(status=500), ProviderUnavailableError),
        (Failure(status=503), ProviderUnavailableError),
        (Failure(status=401), KeyRefusedError),
        (Failure(status=400), RequestRefusedError),
    ]
    async with Books(fake) as books:
        for failure, kind in cases:
            fake.answer(failure)
            with pytest.raises(kind) as caught:
                await books.ai.generate_text("?", model=key, max_tokens=100, max_retries=0)
            if isinstance(caught.value, RateLimitedError):
                assert caught.value.retry_after == timedelta(minutes=5)
    assert [record.cost_usd for record in books.records] == [Decimal(0)] * len(cases)
    assert fake.bill.charges == []


@each_model
async def test_an_answer_that_breaks_its_schema_over_the_wire_is_paid_for(
    key: str, fake: FakeProvider
) -> None:
    fake.answer(*(Reply(value={"name": "Rome", "inhabitants": "many"}, tokens=TOKENS) for _ in range(2)))
    async with Books(fake) as books:
        with pytest.raises(InvalidAnswerError, match="inhabitants"):
            await books.ai.generate_object("Describe", City, model=key, max_tokens=100)
    (record,) = books.records
    assert record.cost_usd == fake.bill.total_usd
    assert len(fake.bill.charges) == 2


async def test_an_answer_that_was_lost_is_on_the_bill_and_known_to_be_missing(fake: FakeProvider) -> None:
    fake.answer(Reply(tokens=TOKENS, is_lost=True), Reply(text="again", tokens=TOKENS))
    async with Books(fake) as books:
        await books.ai.generate_text("?", model="gpt-5-mini")
    (record,) = books.records
    assert record.metadata["unmeasured_requests"] == 1
    assert record.cost_usd == fake.bill.charges[1].cost_usd


async def test_a_stream_that_was_cut_is_on_the_bill_and_known_to_be_missing(fake: FakeProvider) -> None:
    fake.answer(Reply(text="one two three", tokens=TOKENS, cut_after_chunks=1))
    async with Books(fake) as books:
        with pytest.raises(ProviderUnavailableError):
            await _read(books.ai)
    (record,) = books.records
    assert record.error.startswith("ProviderUnavailableError")
    assert record.metadata["unmeasured_requests"] == 1


async def _read(ai: StageAi) -> None:
    async with ai.stream_text("Count", model="gpt-5-mini") as stream:
        async for _piece in stream:
            pass


async def test_options_and_media_reach_the_provider(fake: FakeProvider) -> None:
    async with Books(fake) as books:
        await books.ai.generate_text(
            ["What is it?", Media(b"\x89PNG\r\n\x1a\n", "image/png")],
            model="house",
            instructions="Be short.",
            temperature=0.25,
            max_tokens=77,
            provider_options={"seed": 7},
        )
    body = fake.asked[0].body
    assert (body["temperature"], body["max_completion_tokens"], body["seed"]) == (0.25, 77, 7)
    assert "data:image/png;base64" in str(body)


@stage("both")
def both(ctx: Context[NoInput]) -> list[str]:
    first = ctx.ai.sync.generate_text("one", model="gpt-5-mini").text
    with ctx.ai.sync.stream_text("two", model="claude-haiku-4-5", max_tokens=50) as stream:
        return [first, "".join(stream)]


def test_a_plain_stage_reaches_the_provider_and_closes_its_connections(fake: FakeProvider) -> None:
    fake.answer("first", "second")
    environment = StageEnvironment(models=registry_of(fake))
    assert environment.run_sync(both) == ["first", "second"]
    assert sum(record.cost_usd or 0 for record in environment.usage) == fake.bill.total_usd
