"""Records of AI calls as messages."""

import hashlib
from typing import Any

from pydantic_core import to_json

from stageline.v1 import payload_pb2, usage_pb2
from stageline_sdk._payload import clean_text, jsonable, jsonable_fields
from stageline_sdk._wire import to_duration, to_timestamp
from stageline_sdk.ai.records import UsageRecord

INLINE_BYTES_MAX = 128 * 1024
"""A prompt or a response that is longer is named by its hash and size: its cost must not be lost for it."""

METADATA_BYTES_MAX = 16 * 1024
_NAME_LENGTH_MAX = 255
_PROVIDER_LENGTH_MAX = 63
_ERROR_LENGTH_MAX = 1024

SOURCES = {
    "provider": usage_pb2.COST_SOURCE_PROVIDER,
    "price-list": usage_pb2.COST_SOURCE_PRICE_LIST,
    "caller": usage_pb2.COST_SOURCE_CALLER,
}


def usage_message(record: UsageRecord) -> usage_pb2.UsageRecord:
    """Return a record as a message. Texts that are too long are cut: no detail is worth the loss of a cost."""
    metadata = to_json(jsonable_fields(record.metadata)) if record.metadata else b""
    message = usage_pb2.UsageRecord(
        usage_id=record.id,
        topic=record.topic,
        call_type=usage_pb2.CallType.Value(f"CALL_TYPE_{record.call_type.upper()}"),
        model_key=_cut(record.model, _NAME_LENGTH_MAX),
        model_id=_cut(record.model_id, _NAME_LENGTH_MAX),
        provider=_cut(record.provider, _PROVIDER_LENGTH_MAX),
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cached_input_tokens=record.cached_input_tokens,
        reasoning_tokens=record.reasoning_tokens,
        latency=to_duration(record.latency),
        start_time=to_timestamp(record.started_at),
        metadata=metadata if len(metadata) <= METADATA_BYTES_MAX else b"",
        batch_id=_cut(record.batch_id, _NAME_LENGTH_MAX),
        error_message=_cut(record.error, _ERROR_LENGTH_MAX),
        open=record.is_open,
    )
    if record.cost_usd is not None:
        message.cost_usd = format(record.cost_usd, "f")
        message.cost_source = SOURCES[record.cost_source]
    if record.contents is not None:
        message.content_policy = usage_pb2.ContentPolicy.Value(f"CONTENT_POLICY_{record.contents.upper()}")
    if record.contents != "none":
        _set_content(message.prompt, record.prompt, is_hidden=record.contents == "hash")
        _set_content(message.response, record.response, is_hidden=record.contents == "hash")
    return message


def _set_content(payload: payload_pb2.Payload, value: Any, *, is_hidden: bool) -> None:
    """Set a prompt or a response; what is not to be kept does not leave this process."""
    if value is None:
        return
    text = to_json(jsonable(value))
    if is_hidden or len(text) > INLINE_BYTES_MAX:
        payload.reference.sha256 = hashlib.sha256(text).digest()
        payload.reference.size_bytes = len(text)
    else:
        payload.json = text


def _cut(text: str, length_max: int) -> str:
    return clean_text(text)[:length_max]
