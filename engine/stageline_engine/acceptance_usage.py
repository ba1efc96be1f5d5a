"""Checks an AI call before it is booked.

Money that was spent must not be forgotten for a detail, so a record is refused only where it cannot be kept at all: its
maker would have to send it otherwise. What merely looks wrong, such as more cached tokens than tokens, is kept as it was told.
"""

import re
from collections.abc import Iterator
from decimal import Decimal

from stageline_engine import limits, payloads
from stageline_engine.model.ai_call import AiCall
from stageline_engine.rejections import FieldViolation, Rejection

_TOPIC = re.compile(r"[A-Za-z0-9._:/-]+")
_TEXTS = {
    "model_key": limits.MODEL_NAME_LENGTH_MAX,
    "model_id": limits.MODEL_NAME_LENGTH_MAX,
    "provider": limits.PROVIDER_LENGTH_MAX,
    "batch_id": limits.MODEL_NAME_LENGTH_MAX,
    "error_message": limits.USAGE_ERROR_LENGTH_MAX,
}
_COUNTS = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")


def ai_call_violations(call: AiCall) -> Iterator[FieldViolation]:
    """Yields what is wrong with an AI call."""
    if not 0 < len(call.topic) <= limits.TOPIC_LENGTH_MAX:
        bounds = f"1 to {limits.TOPIC_LENGTH_MAX}"
        yield FieldViolation("topic", f"{len(call.topic)} characters, allowed {bounds}")
    elif not _TOPIC.fullmatch(call.topic):
        yield FieldViolation("topic", f"must match {_TOPIC.pattern}")
    for name, length_max in _TEXTS.items():
        text: str = getattr(call, name)
        if len(text) > length_max:
            yield FieldViolation(name, f"{len(text)} characters, limit {length_max}")
        if "\0" in text:
            yield FieldViolation(name, "contains the character U+0000")
    for name in _COUNTS:
        count: int | None = getattr(call, name)
        if count is not None and not 0 <= count <= limits.TOKENS_PER_CALL_MAX:
            yield FieldViolation(name, f"must be 0 to {limits.TOKENS_PER_CALL_MAX}, but is {count}")
    if call.is_open and (call.cost is not None or any(getattr(call, name) is not None for name in _COUNTS)):
        yield FieldViolation("open", "must be false of a record that tells tokens or cost")
    yield from _cost_violations(call)
    yield from _metadata_violations(call.metadata)


def _cost_violations(call: AiCall) -> Iterator[FieldViolation]:
    if (call.cost is None) != (call.cost_source is None):
        yield FieldViolation("cost_source", "must be given exactly where a cost is")
    if call.cost is None:
        return
    allowed = f"0 to under {limits.COST_MAX_USD}, with at most {limits.COST_DECIMALS_MAX} decimals"
    exponent = call.cost.as_tuple().exponent
    if not isinstance(exponent, int):
        yield FieldViolation("cost_usd", f"must be {allowed}, but is no number")
    elif not 0 <= call.cost < Decimal(limits.COST_MAX_USD) or -exponent > limits.COST_DECIMALS_MAX:
        yield FieldViolation("cost_usd", f"must be {allowed}, but is {call.cost}")


def _metadata_violations(metadata: str) -> Iterator[FieldViolation]:
    if not metadata:
        return
    value = payloads.parse(metadata.encode(), "metadata", limits.USAGE_METADATA_BYTES_MAX)
    if isinstance(value, Rejection):
        yield from value.violations
    elif not isinstance(value, dict):
        yield FieldViolation("metadata", "must be a JSON object")
