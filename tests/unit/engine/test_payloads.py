"""Payloads: size, encoding, syntax, depth, schema; every fault told, with the field at fault."""

import json

import pytest

from stageline_engine.limits import PAYLOAD_INLINE_BYTES_MAX, PAYLOAD_NESTING_MAX
from stageline_engine.payloads import VIOLATIONS_MAX, check_output, parse, schema_error, violations
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing import stage

FIVE_MEGABYTES = 5 * 1024 * 1024


def text_of(size_bytes: int) -> bytes:
    """A JSON string of this length."""
    return b'"' + b"x" * (size_bytes - 2) + b'"'


def refused(payload: bytes) -> Rejection:
    answer = parse(payload, "input")
    assert isinstance(answer, Rejection)
    return answer


def test_a_payload_may_be_as_large_as_the_limit() -> None:
    assert parse(text_of(PAYLOAD_INLINE_BYTES_MAX), "input") == "x" * (PAYLOAD_INLINE_BYTES_MAX - 2)


@pytest.mark.parametrize("size_bytes", [PAYLOAD_INLINE_BYTES_MAX + 1, FIVE_MEGABYTES])
def test_a_larger_one_is_refused_with_its_size_and_the_limit(size_bytes: int) -> None:
    rejection = refused(text_of(size_bytes))
    assert rejection.reason is Reason.PAYLOAD_TOO_LARGE
    assert rejection.metadata == {
        "field": "input",
        "actual_bytes": str(size_bytes),
        "limit_bytes": str(PAYLOAD_INLINE_BYTES_MAX),
    }
    assert str(size_bytes) in rejection.message
    assert rejection.violations[0].field == "input"


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "empty"),
        (b"{", "unterminated"),
        (b"[1,]", "trailing comma"),
        (b"{'a': 1}", "single quotes"),
        (b"NaN", "not a JSON number"),
        (b"1e400", "beyond a double"),
        (b"\xff\xfe", "invalid UTF-8"),
        (b'"\xc3"', "cut UTF-8"),
        (b'"\xed\xa0\x80"', "a surrogate in UTF-8"),
        (b'"\\ud800"', "a lone surrogate"),
        (b"\xef\xbb\xbf{}", "a byte order mark"),
        (b'"\x00"', "a raw null byte"),
        (b"\x00", "a null byte"),
        (b'"\\u0000"', "an escaped null"),
        (b'{"a": ["b\\u0000"]}', "a nested escaped null"),
        (b'{"k\\u0000": 1}', "an escaped null in a key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_storable_json_is_refused(payload: bytes, why: str) -> None:
    rejection = refused(payload)
    assert rejection.reason is Reason.MALFORMED_JSON
    assert rejection.metadata == {"field": "input"}
    assert rejection.violations[0].description


def test_the_text_of_an_escape_is_no_null() -> None:
    assert parse(b'"\\\\u0000"', "input") == "\\u0000"


@pytest.mark.parametrize("payload", [b"0", b'""', b"false", b"null", b"[]", b" {} ", b'"\xf0\x9f\x98\x80"'])
def test_any_json_value_is_accepted(payload: bytes) -> None:
    assert parse(payload, "input") == json.loads(payload)


@pytest.mark.parametrize("brackets", [b"[]", b'{"a":}'], ids=["lists", "objects"])
def test_values_may_nest_as_deep_as_the_limit(brackets: bytes) -> None:
    def nested(levels: int) -> bytes:
        opening, closing = brackets[:-1], brackets[-1:]
        innermost = b"1" if brackets != b"[]" else b""
        return opening * levels + innermost + closing * levels

    assert not isinstance(parse(nested(PAYLOAD_NESTING_MAX), "input"), Rejection)
    assert str(PAYLOAD_NESTING_MAX) in refused(nested(PAYLOAD_NESTING_MAX + 1)).message
    assert isinstance(parse(nested(20_000), "input"), Rejection)


def test_every_fault_of_a_value_is_told_with_its_path() -> None:
    schema = json.dumps(
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"items": {"type": "string"}}},
            "required": ["c"],
        }
    )
    wrong = violations(schema, {"a": "x", "b": ["ok", 1, None]}, "input")
    assert {violation.field for violation in wrong} == {"input", "input.a", "input.b.1", "input.b.2"}
    assert all(violation.description for violation in wrong)
    assert violations(schema, {"c": 1}, "input") == ()
    assert violations("", {"anything": 1}, "input") == ()


def test_faults_are_told_up_to_a_number() -> None:
    assert len(violations('{"items": false}', list(range(VIOLATIONS_MAX + 5)), "input")) == VIOLATIONS_MAX


def test_a_long_fault_is_shortened_and_says_so() -> None:
    [wrong] = violations('{"type": "integer"}', "x" * 5000, "input")
    assert len(wrong.description) < 400
    assert "characters" in wrong.description


@pytest.mark.parametrize("schema", ["{", '{"type": "nonsense"}', '{"$ref": "#/absent"}', "3"])
def test_what_is_no_schema_is_said_to_be_none(schema: str) -> None:
    assert schema_error(schema)


@pytest.mark.parametrize("schema", ["{}", "true", '{"type": "object", "format": "never-checked"}'])
def test_a_schema_is_a_schema(schema: str) -> None:
    assert schema_error(schema) == ""


def test_outputs_are_checked_like_inputs() -> None:
    definition = stage("a", output_schema='{"type": "integer"}')
    assert check_output(definition, b"3") is None
    wrong = check_output(definition, b'"three"')
    assert wrong is not None
    assert (wrong.reason, wrong.metadata) == (Reason.INVALID_OUTPUT, {"stage_id": "a"})
    large = check_output(stage("a"), text_of(PAYLOAD_INLINE_BYTES_MAX + 1))
    assert large is not None
    assert large.reason is Reason.PAYLOAD_TOO_LARGE
    assert check_output(stage("a"), text_of(PAYLOAD_INLINE_BYTES_MAX)) is None
