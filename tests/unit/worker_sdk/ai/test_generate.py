"""Texts and objects, their records and their costs."""

import base64
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.messages import ModelMessage, ModelResponse, ThinkingPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo

from stageline_sdk import Context, NoInput, stage
from stageline_sdk.ai import InvalidAnswerError, Media, StepLimitError, UnusableModelError
from stageline_sdk.presets import AICallDefaults, AIConfig
from stageline_sdk.testing import StageEnvironment
from tests.unit.worker_sdk.ai.scripted import Desk, desk, registry_of, response, saying, texts_of


class Verdict(BaseModel):
    label: str
    score: int


def tool_call(name: str, **arguments: Any) -> ToolCallPart:
    return ToolCallPart(name, arguments)


async def test_a_text_is_recorded_with_tokens_and_its_listed_price() -> None:
    made = desk(response(ThinkingPart("let me see"), "forty-two"))
    result = await made.ai.generate_text("What is it?", instructions="Be short.", topic="question")
    assert (result.text, result.reasoning, result.model_id) == ("forty-two", "let me see", "gpt-5-mini")
    record = made.record
    assert (record.topic, record.call_type, record.model, record.provider) == (
        "s.question",
        "text",
        "m",
        "script",
    )
    assert record.prompt == {"instructions": "Be short.", "prompt": "What is it?"}
    assert (record.response, record.error) == ("forty-two", "")
    assert (record.input_tokens, record.cached_input_tokens, record.output_tokens) == (1000, 400, 200)
    assert (record.cost_usd, record.cost_source) == (Decimal("0.00056"), "price-list")
    assert record.id == result.usage.record_id
    assert record.id[14] == "7"


async def test_registered_prices_go_before_listed_ones() -> None:
    made = Desk(registry_of(saying(response("x")), priced=True))
    await made.ai.generate_text("?")
    # 600 at 2, 400 at 1 and 200 at 10 dollars for a million.
    assert (made.record.cost_usd, made.record.cost_source) == (Decimal("0.0036"), "caller")


async def test_what_the_provider_charges_goes_before_all_prices() -> None:
    told = response("x")
    told.provider_details = {"cost": 0.0123}
    made = Desk(registry_of(saying(told), priced=True))
    await made.ai.generate_text("?")
    assert (made.record.cost_usd, made.record.cost_source) == (Decimal("0.0123"), "provider")


async def test_an_unknown_price_is_none_and_not_zero() -> None:
    made = Desk(registry_of(saying(response("x")), name="nobody-knows-this"))
    result = await made.ai.generate_text("?")
    assert made.record.cost_usd is None
    assert result.usage.cost_usd is None
    assert made.record.metadata["unmeasured_requests"] == 1


async def test_an_answer_without_usage_has_no_tokens_and_no_cost() -> None:
    told = response("x")
    told.usage.unmeasured_requests = 1
    made = Desk(registry_of(saying(told), priced=True))
    await made.ai.generate_text("?")
    assert (made.record.input_tokens, made.record.output_tokens, made.record.cost_usd) == (None, None, None)


async def test_tools_run_and_every_request_is_paid_once_in_one_record() -> None:
    called: list[str] = []

    async def look_up(word: str) -> str:
        """Explain a word."""
        called.append(word)
        return "a fruit"

    made = desk(response(tool_call("look_up", word="fig")), response("A fig is a fruit."))
    result = await made.ai.generate_text("What is a fig?", tools=[look_up])
    assert (result.text, called) == ("A fig is a fruit.", ["fig"])
    assert (made.record.input_tokens, made.record.metadata["requests"]) == (2000, 2)
    assert made.record.cost_usd == Decimal("0.00112")


async def test_a_model_that_never_ends_meets_the_limit_of_steps_and_is_paid_for() -> None:
    def again() -> str:
        """Do it again."""
        return "again"

    made = desk(response(tool_call("again")))
    with pytest.raises(StepLimitError, match="more than 3 steps") as caught:
        await made.ai.generate_text("Go", tools=[again], steps_max=3)
    assert caught.value.steps_max == 3
    assert made.record.cost_usd == 3 * Decimal("0.00056")
    assert made.record.error.startswith("StepLimitError: model 'm' asked for more than 3 steps")


async def test_an_object_is_of_its_type_and_recorded_as_json() -> None:
    made = desk(response(tool_call("final_result", label="good", score=3)))
    result = await made.ai.generate_object("How is it?", Verdict)
    assert result.value == Verdict(label="good", score=3)
    assert (made.record.call_type, made.record.response) == ("object", {"label": "good", "score": 3})


async def test_an_object_that_does_not_fit_is_corrected_once() -> None:
    asked: list[list[str]] = []

    def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        asked.append(texts_of(messages))
        return response(tool_call("final_result", label="good", score="three" if len(asked) == 1 else 3))

    made = Desk(registry_of(answer))
    result = await made.ai.generate_object("How is it?", Verdict)
    assert result.value.score == 3
    assert any("int_parsing" in text for text in asked[1])
    assert made.record.cost_usd == Decimal("0.00112")


async def test_an_object_that_never_fits_fails_with_its_field_and_keeps_its_cost() -> None:
    made = desk(response(tool_call("final_result", label="good", score="three")))
    with pytest.raises(InvalidAnswerError, match="score"):
        await made.ai.generate_object("How is it?", Verdict)
    assert made.record.cost_usd == Decimal("0.00112")
    assert made.record.error.startswith("InvalidAnswerError")


async def test_media_are_sent_and_the_ledger_keeps_their_size_alone() -> None:
    seen: list[Any] = []

    def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        seen.extend(messages[0].parts[0].content)  # type: ignore[union-attr, arg-type]
        return response("a cat")

    made = Desk(registry_of(answer))
    await made.ai.generate_text(["What is this?", Media(b"\x89PNG", "image/png")])
    assert base64.b64decode(seen[1].base64) == b"\x89PNG"
    assert made.record.prompt == ["What is this?", {"media_type": "image/png", "size_bytes": 4}]


async def test_what_the_config_says_reaches_the_call_and_the_call_has_the_last_word() -> None:
    seen: list[dict[str, Any]] = []

    def answer(_messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.append(dict(info.model_settings or {}))
        return response("x")

    made = Desk(registry_of(answer), defaults=AICallDefaults(model="m", temperature=0.7, max_tokens=99))
    await made.ai.generate_text("?")
    await made.ai.generate_text("?", temperature=0.1, provider_options={"seed": 7, "max_tokens": 5})
    assert (seen[0]["temperature"], seen[0]["max_tokens"]) == (0.7, 99)
    assert (seen[1]["temperature"], seen[1]["max_tokens"], seen[1]["seed"]) == (0.1, 5, 7)


@stage("draft")
async def draft(ctx: Context[NoInput, AIConfig]) -> str:
    return (await ctx.ai.child("page", "3").generate_text("Write")).text


@stage("plain")
def plain(ctx: Context[NoInput, AIConfig]) -> str:
    return ctx.ai.sync.generate_text("Write").text


async def test_a_stage_calls_the_model_of_its_config() -> None:
    environment = StageEnvironment(models=registry_of(saying(response("done"))))
    assert await environment.run(draft, config=AIConfig(model="m")) == "done"
    assert environment.usage[0].topic == "draft.page.3"


def test_a_plain_stage_calls_it_too() -> None:
    environment = StageEnvironment(models=registry_of(saying(response("done"))))
    assert environment.run_sync(plain, config=AIConfig(model="m")) == "done"
    assert environment.usage[0].topic == "plain"


async def test_the_sync_calls_refuse_to_hold_up_a_loop() -> None:
    with pytest.raises(RuntimeError, match=r"await ctx\.ai instead"):
        desk(response("x")).ai.sync.generate_text("?")


async def test_an_option_that_does_not_exist_is_named() -> None:
    with pytest.raises(TypeError, match="there is no option temprature"):
        await desk(response("x")).ai.generate_text("?", temprature=1)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="steps_max must be 1 or more, got 0"):
        await desk(response("x")).ai.generate_text("?", steps_max=0)


async def test_an_embedding_model_does_not_write() -> None:
    made = desk(response("x"))
    with pytest.raises(UnusableModelError, match="use embed"):
        await made.ai.generate_text("?", model="e")
    with pytest.raises(UnusableModelError, match="no embedding model"):
        await made.ai.embed("?", model="m")
    assert made.records == []


async def test_one_text_and_several_are_embedded() -> None:
    made = desk(response("x"))
    one = await made.ai.embed("a word", model="e")
    many = await made.ai.embed(["a", "b", "c"], model="e", dimensions=3)
    assert (one.dimensions, len(many.vectors), many.dimensions) == (8, 3, 3)
    first, second = made.records
    assert (first.call_type, first.prompt, first.response) == (
        "embed",
        ["a word"],
        {"vectors": 1, "dimensions": 8},
    )
    assert second.metadata["texts"] == 3
    assert second.cost_usd is not None
    assert second.cost_usd > 0
    with pytest.raises(ValueError, match="at least one text"):
        await made.ai.embed([], model="e")
    with pytest.raises(TypeError, match="needs the key of an embedding model"):
        await made.ai.embed("a")
