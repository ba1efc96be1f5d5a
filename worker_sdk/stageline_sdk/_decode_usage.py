"""The ledger's messages as values."""

from decimal import Decimal

from stageline.v1 import payload_pb2, usage_pb2, usage_service_pb2
from stageline_sdk._usage_wire import SOURCES
from stageline_sdk._wire import from_payload, from_timestamp, json_object
from stageline_sdk.usage import BookedCall, UsageSum

_SOURCE_NAMES = {number: name for name, number in SOURCES.items()}


def decode_call(message: usage_pb2.UsageRecord) -> BookedCall:
    """Return a booked call."""

    def known(field: str) -> int | None:
        return getattr(message, field) if message.HasField(field) else None  # type: ignore[arg-type]

    def content(field: str, payload: payload_pb2.Payload) -> object:
        return from_payload(payload) if message.HasField(field) else None  # type: ignore[arg-type]

    return BookedCall(
        id=message.usage_id,
        topic=message.topic,
        call_type=_call_type(message.call_type),
        model=message.model_key,
        model_id=message.model_id,
        provider=message.provider,
        input_tokens=known("input_tokens"),
        output_tokens=known("output_tokens"),
        cached_input_tokens=known("cached_input_tokens"),
        reasoning_tokens=known("reasoning_tokens"),
        cost_usd=Decimal(message.cost_usd) if message.HasField("cost_usd") else None,
        cost_source=_SOURCE_NAMES.get(message.cost_source, ""),
        latency=message.latency.ToTimedelta() if message.HasField("latency") else None,
        started_at=from_timestamp(message.start_time),
        metadata=json_object(message.metadata),
        batch_id=message.batch_id,
        error=message.error_message,
        run_id=message.run_id,
        stage_id=message.stage_id,
        generation=message.generation,
        attempt=message.attempt,
        wasted=message.wasted,
        prompt=content("prompt", message.prompt),
        response=content("response", message.response),
    )


def decode_sum(message: usage_service_pb2.UsageAggregate) -> UsageSum:
    """Return the sum of a group."""
    return UsageSum(
        group=tuple(message.group),
        call_count=message.call_count,
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        cached_input_tokens=message.cached_input_tokens,
        reasoning_tokens=message.reasoning_tokens,
        cost_usd=Decimal(message.cost_usd or 0),
        unknown_cost_count=message.unknown_cost_count,
        wasted_call_count=message.wasted_call_count,
        wasted_cost_usd=Decimal(message.wasted_cost_usd or 0),
    )


def _call_type(number: int) -> str:
    value = usage_pb2.CallType.DESCRIPTOR.values_by_number.get(number)
    return "unspecified" if value is None else value.name.removeprefix("CALL_TYPE_").lower()
