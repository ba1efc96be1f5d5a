"""What people and programs are shown."""

from datetime import timedelta
from typing import Any

import pytest

from stageline_cli.output import duration
from stageline_cli.schemas import fields_of


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (0.126, "0.13 s"),
        (59.9, "59.90 s"),
        (60, "1 min 00 s"),
        (245.4, "4 min 05 s"),
        (3599.9, "1 h 00 min"),
        (7380, "2 h 03 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


def test_no_duration_is_nothing() -> None:
    assert duration(None) == ""


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "anything"),
        ({"type": "string"}, "string"),
        ({"type": "object", "properties": {}}, "none"),
        (
            {
                "properties": {
                    "url": {"type": "string"},
                    "limit": {"type": "integer", "default": 5},
                    "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}},
                    "mode": {"enum": ["a", "b"]},
                    "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
                "required": ["url", "mode"],
            },
            'url: string, limit: integer = 5, tags?: array of Tag, mode: "a" | "b", note?: string | null',
        ),
    ],
)
def test_a_schema_in_a_few_words(schema: dict[str, Any], text: str) -> None:
    assert fields_of(schema) == text


def test_the_stages_defaults_are_shown() -> None:
    schema = {"properties": {"limit": {"type": "integer"}}}
    assert fields_of(schema, {"limit": 7}) == "limit: integer = 7"
