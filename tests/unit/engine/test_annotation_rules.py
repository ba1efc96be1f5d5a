"""What is checked of remarks and of reasons that people write, at each limit and one beyond it."""

from dataclasses import replace
from typing import Any

import pytest

from stageline_engine.acceptance import annotation_violations, reason_violations
from stageline_engine.events import Annotation
from stageline_engine.limits import (
    ANNOTATION_BYTES_MAX,
    ANNOTATION_DETAILS_BYTES_MAX,
    ANNOTATIONS_PER_CALL_MAX,
    CANCEL_REASON_LENGTH_MAX,
    LABEL_VALUE_LENGTH_MAX,
)

GOOD = Annotation("n-1", "decision.outcome", '{"yes":true}', '{"why":1}')


def fields(*annotations: Annotation) -> list[str]:
    return [violation.field for violation in annotation_violations(annotations)]


def altered(name: str, text: str) -> Annotation:
    """A good remark with another text in one field."""
    changes: dict[str, Any] = {name: text}
    return replace(GOOD, **changes)


def json_text(size: int) -> str:
    """A JSON string of this many bytes."""
    return '"' + "x" * (size - 2) + '"'


def test_a_good_remark_has_no_fault() -> None:
    assert fields(GOOD, replace(GOOD, id="n-2", details="")) == []


def test_the_number_of_remarks_is_limited() -> None:
    most = [replace(GOOD, id=str(number)) for number in range(ANNOTATIONS_PER_CALL_MAX)]
    assert fields(*most) == []
    [violation] = annotation_violations([*most, replace(GOOD, id="one more")])
    assert violation.field == "annotations"
    assert violation.description == f"{ANNOTATIONS_PER_CALL_MAX + 1}, limit {ANNOTATIONS_PER_CALL_MAX}"


def test_each_remark_of_a_call_has_an_id_of_its_own() -> None:
    assert fields(GOOD, GOOD) == ["annotations"]


@pytest.mark.parametrize("name", ["id", "key"])
def test_ids_and_keys_have_a_length(name: str) -> None:
    field = {"id": "annotations.0.annotation_id", "key": "annotations.0.key"}[name]
    for text, wrong in (
        ("x", False),
        ("x" * LABEL_VALUE_LENGTH_MAX, False),
        ("x" * (LABEL_VALUE_LENGTH_MAX + 1), True),
        ("", True),
        ("a\0b", True),
    ):
        assert fields(altered(name, text)) == ([field] if wrong else []), len(text)


@pytest.mark.parametrize("name", ["scope", "scope_id", "actor_kind", "actor_id", "actor_version"])
def test_what_a_remark_is_about_and_who_made_it_has_a_length_and_no_null(name: str) -> None:
    assert fields(altered(name, "x" * LABEL_VALUE_LENGTH_MAX)) == []
    assert fields(altered(name, "x" * (LABEL_VALUE_LENGTH_MAX + 1))) != []
    assert fields(altered(name, "a\0b")) != []


@pytest.mark.parametrize("name", ["value", "details"])
def test_values_and_details_are_json_of_a_limited_size(name: str) -> None:
    field = f"annotations.0.{name}"
    limit = {"value": ANNOTATION_BYTES_MAX, "details": ANNOTATION_DETAILS_BYTES_MAX}[name]
    for text, wrong in (
        (json_text(limit), False),
        (json_text(limit + 1), True),
        ("{", True),
        ('"\\u0000"', True),
    ):
        assert fields(altered(name, text)) == ([field] if wrong else []), len(text)


def test_a_value_is_not_empty() -> None:
    assert fields(replace(GOOD, value="")) == ["annotations.0.value"]


def test_every_fault_is_told_with_its_place() -> None:
    assert fields(GOOD, Annotation("n-2", "", "{")) == ["annotations.1.key", "annotations.1.value"]


def test_a_reason_has_a_length_and_no_null() -> None:
    assert list(reason_violations("")) == []
    assert list(reason_violations("x" * CANCEL_REASON_LENGTH_MAX)) == []
    [violation] = reason_violations("x" * (CANCEL_REASON_LENGTH_MAX + 1))
    assert violation.field == "reason"
    assert str(CANCEL_REASON_LENGTH_MAX) in violation.description
    [violation] = reason_violations("a\0b")
    assert "U+0000" in violation.description
