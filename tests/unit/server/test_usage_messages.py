"""AI calls from and to their messages."""

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from stageline.v1 import payload_pb2, usage_pb2
from stageline_engine import limits
from stageline_engine.model.ai_call import AiCall, AiCallRow, CallType, ContentPolicy, CostSource
from stageline_engine.ports import BookedCall, UsageSum
from stageline_engine.rejections import Rejection
from stageline_server.mapping.payloads import PayloadRoom
from stageline_server.mapping.usage import aggregate_messages, to_ai_call, to_ai_calls, usage_message
from tests.support.usage import record

NOW = datetime(2030, 1, 1, tzinfo=UTC)
FULL, HASH, NONE = ContentPolicy
PROMPT = payload_pb2.Payload(json=b'"Say \xc3\xa9"')


def taken(message: usage_pb2.UsageRecord, policy: ContentPolicy = FULL) -> AiCall:
    call = to_ai_call(message, policy)
    assert isinstance(call, AiCall), call
    return call


def test_a_record_goes_there_and_back() -> None:
    message = record(
        "0.00123",
        "a.b",
        usage_id="00000000-0000-0000-0000-00000000000a",
        call_type=usage_pb2.CALL_TYPE_STREAM,
        model_key="fast",
        model_id="m-1",
        provider="openai",
        prompt=PROMPT,
        response=payload_pb2.Payload(reference=payload_pb2.PayloadReference(sha256=b"r" * 32, size_bytes=9)),
        cached_input_tokens=1,
        reasoning_tokens=0,
        cost_source=usage_pb2.COST_SOURCE_PROVIDER,
        metadata=b'{"k":1}',
        batch_id="b-1",
        error_message="no",
    )
    message.latency.FromTimedelta(timedelta(milliseconds=250))
    message.start_time.FromDatetime(NOW)
    row = AiCallRow("default", taken(message), NOW, NOW, UUID(int=1), 2, "draft", 1, 3, UUID(int=4))
    told = usage_message(BookedCall(row, wasted=True), PayloadRoom())
    message.run_id, message.stage_id = str(UUID(int=1)), "draft"
    message.generation, message.attempt, message.wasted = 1, 3, True
    assert told == message


def test_what_is_not_told_stays_unknown() -> None:
    call = taken(
        usage_pb2.UsageRecord(usage_id=str(UUID(int=1)), topic="t", call_type=usage_pb2.CALL_TYPE_TEXT)
    )
    unknown = (call.cost, call.cost_source, call.input_tokens, call.latency, call.started_at, call.prompt)
    assert unknown == (None,) * 6
    told = usage_message(BookedCall(AiCallRow("default", call, NOW, NOW), wasted=False), PayloadRoom())
    assert not told.HasField("cost_usd")
    assert not told.HasField("input_tokens")
    assert (told.run_id, told.cost_source) == ("", usage_pb2.COST_SOURCE_UNSPECIFIED)


def test_a_cost_of_no_known_source_is_the_callers_and_a_source_without_cost_is_none() -> None:
    assert taken(record("1")).cost_source is CostSource.CALLER
    assert taken(record(None, cost_source=usage_pb2.COST_SOURCE_PROVIDER)).cost_source is None


@pytest.mark.parametrize("text", ["0", "0.1", "999999999.999999999999", "007"])
def test_costs_are_exact(text: str) -> None:
    assert taken(record(text)).cost == Decimal(text)


@pytest.mark.parametrize(
    "text", ["", ".5", "1.", "1e3", "-1", "+1", "1,5", "NaN", " 1", "1\n", "1234567890", "٣"]
)
def test_what_is_no_exact_decimal_is_refused(text: str) -> None:
    assert fields_of(record(text)) == ["cost_usd"]


def fields_of(message: usage_pb2.UsageRecord) -> list[str]:
    refused = to_ai_call(message, FULL)
    assert isinstance(refused, Rejection)
    assert refused.metadata["usage_id"] == message.usage_id[:64]
    return [one.field for one in refused.violations]


BAD: dict[str, dict[str, Any]] = {
    "usage_id": {"usage_id": "00000000000000000000000000000001"},
    "call_type": {"call_type": 99},
    "metadata": {"metadata": b"\xff"},
    "topic": {"topic": ""},
    "error_message": {"error_message": "x" * (limits.USAGE_ERROR_LENGTH_MAX + 1)},
}


@pytest.mark.parametrize("field", BAD)
def test_a_bad_field_is_named(field: str) -> None:
    assert fields_of(record(**BAD[field])) == [field]


def test_times_that_are_none_are_left_out() -> None:
    message = record()
    message.start_time.seconds = 2**62
    message.latency.seconds = 2**62
    assert (taken(message).started_at, taken(message).latency) == (None, None)


POLICIES = [
    (FULL, usage_pb2.CONTENT_POLICY_UNSPECIFIED, FULL),
    (FULL, usage_pb2.CONTENT_POLICY_FULL, FULL),
    (FULL, usage_pb2.CONTENT_POLICY_HASH, HASH),
    (FULL, usage_pb2.CONTENT_POLICY_NONE, NONE),
    (HASH, usage_pb2.CONTENT_POLICY_FULL, HASH),
    (HASH, usage_pb2.CONTENT_POLICY_NONE, NONE),
    (NONE, usage_pb2.CONTENT_POLICY_FULL, NONE),
    (FULL, 99, NONE),
]


@pytest.mark.parametrize(("server", "asked", "kept"), POLICIES)
def test_the_stricter_policy_wins(server: ContentPolicy, asked: int, kept: ContentPolicy) -> None:
    prompt = taken(record(prompt=PROMPT, content_policy=asked), server).prompt
    if kept is NONE:
        assert prompt is None
        return
    assert prompt is not None
    assert (prompt.sha256, prompt.size_bytes) == (hashlib.sha256(PROMPT.json).digest(), len(PROMPT.json))
    assert prompt.json == (PROMPT.json.decode() if kept is FULL else None)


@pytest.mark.parametrize(
    "text", [b"{", b'"\xff"', b'"\\u0000"', b'"' + b"x" * limits.PAYLOAD_INLINE_BYTES_MAX + b'"']
)
def test_a_text_that_cannot_be_kept_costs_no_money(text: bytes) -> None:
    """The call is booked, and the hash says what was said."""
    call = taken(record("3", prompt=payload_pb2.Payload(json=text)))
    assert call.cost == Decimal(3)
    assert call.prompt is not None
    assert (call.prompt.json, call.prompt.size_bytes) == (None, len(text))


def test_contents_that_were_not_read_or_have_no_room_are_named() -> None:
    call = taken(record(prompt=PROMPT))
    booked = BookedCall(AiCallRow("default", call, NOW, NOW), wasted=False)
    assert usage_message(booked, PayloadRoom()).prompt == PROMPT
    named = usage_message(booked, PayloadRoom(bytes_max=1)).prompt
    assert named.reference.sha256 == hashlib.sha256(PROMPT.json).digest()


def test_each_id_of_a_report_is_taken_once_and_bad_ones_are_told() -> None:
    good = record()
    calls, faults = to_ai_calls([good, record("x"), good], FULL)
    assert [str(call.id) for call in calls] == [good.usage_id]
    assert len(faults) == 1


def test_every_kind_of_call_has_its_message() -> None:
    for number in usage_pb2.CallType.values()[1:]:
        assert taken(record(call_type=number)).call_type in CallType


def test_a_sum_goes_out_whole() -> None:
    (told,) = aggregate_messages([UsageSum(group=("m",), calls=2, cost=Decimal("1E-7"), wasted_calls=1)])
    assert (list(told.group), told.call_count, told.cost_usd, told.wasted_call_count) == (
        ["m"],
        2,
        "0.0000001",
        1,
    )
