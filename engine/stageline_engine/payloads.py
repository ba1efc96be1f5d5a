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
    value = parse(state, "state")
    return value if isinstance(value, Rejection) else None


def too_large(field: str, size: int, bytes_max: int) -> Rejection:
    """The rejection of a payload over its limit."""
    message = f"{field} has {size} bytes; at most {bytes_max} are taken inline. Pass large data by reference."
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
    if not schema:
        return ()
    return tuple(_violations(schema, value, field))[:VIOLATIONS_MAX]


def _violations(schema: str, value: Any, field: str) -> Iterator[FieldViolation]:
    for error in _validator(schema).iter_errors(value):
        path = ".".join([field, *(str(part) for part in error.instance_path)])
        yield FieldViolation(path, _shortened(error.message))


def _shortened(message: str, length_max: int = 300) -> str:
    return message if len(message) <= length_max else f"{message[:length_max]}… ({len(message)} characters)"


def check_output(stage: StageDefinition, output: bytes) -> Rejection | None:
    """Says why a stage's output cannot be accepted: its size, its syntax, or its schema. None where it can."""
    value = parse(output, "output")
    if isinstance(value, Rejection):
        return value
    wrong = violations(stage.output_schema, value, "output")
    if not wrong:
        return None
    message = f"The output of stage {stage.id} breaks its schema in {len(wrong)} place(s)."
    return Rejection(Reason.INVALID_OUTPUT, message, {"stage_id": stage.id}, wrong)
