"""Checks of JSON payloads: size, encoding, syntax and schema. All faults of one payload are told at once.

A payload that has passed is text from then on: it is stored and moved as it came and never parsed again.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from stageline_engine.limits import PAYLOAD_INLINE_BYTES_MAX, PAYLOAD_NESTING_MAX
from stageline_engine.model.definition import StageDefinition
from stageline_engine.model.stored_payload import StoredPayload
from stageline_engine.rejections import FieldViolation, Reason, Rejection

VIOLATIONS_MAX = 50
"""Faults told of one payload: enough to mend it, and an answer stays readable."""

_WRITER_NESTING_MAX = 254
"""Levels that orjson writes; a test holds it to that. Wrapped up to them, a value's own depth is found in C."""


def parse(payload: bytes, field: str, bytes_max: int = PAYLOAD_INLINE_BYTES_MAX) -> Any | Rejection:
    """Parses a JSON payload.

    Args:
        payload: UTF-8 JSON text.
        field: What the caller calls it, for the message.
        bytes_max: Its limit.

    Returns:
        The value, or a rejection: too large, not UTF-8, not JSON, nested too deeply, or with the character U+0000 in a string, which
        Postgres cannot store.
    """
    if len(payload) > bytes_max:
        return too_large(field, len(payload), bytes_max)
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        return malformed(field, str(error))
    if not _shallow(payload, value):
        return malformed(field, f"it is nested deeper than {PAYLOAD_NESTING_MAX} levels")
    if b"\\u0000" in payload and _has_null_character(value):
        return malformed(field, "a string contains the character U+0000, which cannot be stored")
    return value


def check_state(state: bytes) -> Rejection | None:
    """Says why a suspended stage's state cannot be kept; None where it can."""
    if isinstance(state, StoredPayload):
        return check_stored(state, "state")
    value = parse(state, "state")
    return value if isinstance(value, Rejection) else None


def check_stored(payload: StoredPayload, field: str) -> Rejection | None:
    """Says why a payload that is stored apart cannot be accepted; None where it can."""
    return payload.refusal if payload.checked else not_stored(payload, field)


def not_stored(payload: StoredPayload, field: str) -> Rejection:
    """The rejection of a reference to bytes that are not stored, or not where the command may refer to them."""
    digest = payload.sha256.hex()
    return Rejection(
        Reason.PAYLOAD_NOT_FOUND,
        f"{field} refers to {payload.size_bytes} bytes that are not stored. Upload them first.",
        {"field": field, "sha256": digest},
        (FieldViolation(field, f"no stored bytes with SHA-256 {digest}"),),
    )


def mismatched(field: str, expected: str, actual: str) -> Rejection:
    """The rejection of bytes that are not those that were announced."""
    facts = {"field": field, "expected": expected, "actual": actual}
    return Rejection(
        Reason.PAYLOAD_MISMATCH,
        f"{field} has {actual}, but {expected} was announced. Send the bytes again.",
        facts,
        (FieldViolation(field, f"{actual}, announced {expected}"),),
    )


def too_large(field: str, size: int, bytes_max: int) -> Rejection:
    """The rejection of a payload over its limit."""
    message = f"{field} has {size} bytes; at most {bytes_max} are taken here. Pass larger data by reference."
    return Rejection(
        Reason.PAYLOAD_TOO_LARGE,
        message,
        {"field": field, "limit_bytes": str(bytes_max), "actual_bytes": str(size)},
        (FieldViolation(field, f"{size} bytes, limit {bytes_max} bytes"),),
    )


def malformed(field: str, why: str) -> Rejection:
    """The rejection of a payload that is no JSON, or none that can be kept."""
    return Rejection(
        Reason.MALFORMED_JSON,
        f"{field} is not valid JSON: {why}.",
        {"field": field},
        (FieldViolation(field, why),),
    )


def _shallow(payload: bytes, value: Any) -> bool:
    """Whether a value has no more levels than allowed. A text with few brackets needs no look."""
    if payload.count(b"[") + payload.count(b"{") <= PAYLOAD_NESTING_MAX:
        return True
    for _ in range(_WRITER_NESTING_MAX - PAYLOAD_NESTING_MAX):
        value = [value]
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


def _has_null_character(value: Any) -> bool:
    """Whether any string of the value, also a key, contains U+0000. The escape alone may be an escaped backslash."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, list):
        return any(_has_null_character(item) for item in value)
    if isinstance(value, dict):
        return any(_has_null_character(part) for item in value.items() for part in item)
    return False


def _refuse_retrieval(uri: str) -> Any:
    """A schema is whole in itself: the server must never fetch what a stranger's schema names, from web or disk."""
    raise ValueError(f"$ref {uri} points outside of the schema")


@lru_cache(maxsize=4096)
def _validator(schema: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(
        orjson.loads(schema), validate_formats=False, retriever=_refuse_retrieval
    )


def schema_error(schema: str) -> str:
    """Returns why a text is not a usable JSON Schema; empty where it is."""
    try:
        _validator(schema)
    except (
        orjson.JSONDecodeError,
        jsonschema_rs.ValidationError,
        jsonschema_rs.ReferencingError,
        ValueError,
    ) as error:
        return str(error).splitlines()[0]
    return ""


def violations(schema: str, value: Any, field: str) -> tuple[FieldViolation, ...]:
    """Returns every way in which a parsed value breaks a schema, each with the path of the field at fault.

    Args:
        schema: JSON Schema text; empty accepts anything.
        value: The parsed payload.
        field: Name of the whole payload: paths begin with it.
    """
    if not schema or _validator(schema).is_valid(value):
        return ()
    return tuple(_violations(schema, value, field))[:VIOLATIONS_MAX]


def _violations(schema: str, value: Any, field: str) -> Iterator[FieldViolation]:
    for error in _validator(schema).iter_errors(value):
        path = ".".join([field, *(str(part) for part in error.instance_path)])
        yield FieldViolation(path, _shortened(error.message))


def _shortened(message: str, length_max: int = 300) -> str:
    """A message begins with the value, which may be large, and ends with what is wrong with it: both ends are kept."""
    if len(message) <= length_max:
        return message
    half = length_max // 2
    return f"{message[:half]}…{message[-half:]} ({len(message)} characters)"


def check_output(stage: StageDefinition, output: bytes) -> Rejection | None:
    """Says why a stage's output cannot be accepted: its size, its syntax, or its schema. None where it can."""
    if isinstance(output, StoredPayload):
        return check_stored(output, "output")
    value = parse(output, "output")
    return value if isinstance(value, Rejection) else output_refusal(stage, value)


def output_refusal(stage: StageDefinition, value: Any) -> Rejection | None:
    """Says why a parsed output breaks its stage's schema; None where it does not."""
    wrong = violations(stage.output_schema, value, "output")
    if not wrong:
        return None
    message = f"The output of stage {stage.id} breaks its schema in {len(wrong)} place(s)."
    return Rejection(Reason.INVALID_OUTPUT, message, {"stage_id": stage.id}, wrong)
