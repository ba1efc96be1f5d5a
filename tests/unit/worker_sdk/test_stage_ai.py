"""`ctx.ai`: records, their topics and their form on the wire."""

import hashlib
from decimal import Decimal
from typing import Any

import pytest

from stageline.v1 import usage_pb2
from stageline_sdk import Context, NoInput, stage
from stageline_sdk._usage_wire import INLINE_BYTES_MAX, METADATA_BYTES_MAX, usage_message
from stageline_sdk.ai import StageAi, UsageRecord
from stageline_sdk.testing import StageEnvironment


@stage("draft")
async def draft(ctx: Context[NoInput]) -> int:
    ctx.ai.record_call(model="fast", cost_usd="0.25", input_tokens=10)
    ctx.ai.child("page", "3").record_call(topic="summary", call_type="object", error="429")
    raise ValueError("and then it fails")


async def test_records_are_filed_under_the_stage_also_when_it_fails() -> None:
    environment = StageEnvironment()
    with pytest.raises(ValueError, match="and then it fails"):
        await environment.run(draft)
    first, second = environment.usage
    assert (first.topic, first.model, first.cost_usd, first.output_tokens) == (
        "draft",
        "fast",
        Decimal("0.25"),
        None,
    )
    assert (second.topic, second.call_type, second.cost_usd) == ("draft.page.3.summary", "object", None)


def booked(**fields: Any) -> usage_pb2.UsageRecord:
    kept: list[UsageRecord] = []
    StageAi("s", kept.append).record_call(**fields)
    return usage_message(kept[0])


def test_an_unknown_cost_is_not_zero() -> None:
    assert not booked().HasField("cost_usd")
    assert booked(cost_usd=0).cost_usd == "0"
    assert booked(cost_usd=Decimal("1E-12")).cost_usd == "0.000000000001"


def test_money_is_no_float() -> None:
    with pytest.raises(TypeError, match="cannot hold an amount exactly"):
        booked(cost_usd=0.1)


@pytest.mark.parametrize("cost", ["-1", "1e9", "1E-13", "NaN", "Infinity", "much"])
def test_a_cost_out_of_its_range_is_told_at_once(cost: str) -> None:
    with pytest.raises(ValueError, match="cost_usd"):
        booked(cost_usd=cost)


@pytest.mark.parametrize(
    "fields", [{"topic": "two words"}, {"topic": "x" * 255}, {"input_tokens": -1}, {"usage_id": "no uuid"}]
)
def test_what_the_server_would_refuse_is_told_where_it_was_made(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"topic|input_tokens|UUID|badly formed"):
        booked(**fields)


def test_what_is_not_to_be_kept_does_not_leave_the_process() -> None:
    full, hashed, none = (booked(prompt="secret", contents=kept) for kept in (None, "hash", "none"))
    assert full.prompt.json == b'"secret"'
    assert hashed.prompt.reference.sha256 == hashlib.sha256(b'"secret"').digest()
    assert not none.HasField("prompt")
    assert b"secret" not in hashed.SerializeToString() + none.SerializeToString()


def test_a_text_that_is_too_long_costs_no_money() -> None:
    message = booked(
        prompt="x" * INLINE_BYTES_MAX,
        error="e" * 5000,
        model="m" * 300,
        metadata={"k": "x" * METADATA_BYTES_MAX},
        cost_usd="1",
    )
    assert message.prompt.reference.size_bytes == INLINE_BYTES_MAX + 2
    lengths = (len(message.error_message), len(message.model_key), len(message.metadata))
    assert (lengths, message.cost_usd) == ((1024, 255, 0), "1")
