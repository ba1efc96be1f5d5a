"""What a fake provider makes up for a schema fits it."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, Field, TypeAdapter

from stageline_sdk.ai.testing.schema_values import value_for


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Node(BaseModel):
    label: str
    parent: "Node | None" = None


class Everything(BaseModel):
    kind: Literal["page"]
    colour: Colour
    when: datetime
    day: date
    id: UUID
    link: AnyUrl
    score: Annotated[float, Field(gt=0, lt=1)]
    count: Annotated[int, Field(ge=7)]
    small: Annotated[int, Field(le=-3)]
    code: Annotated[str, Field(min_length=12, max_length=14)]
    tags: Annotated[list[str], Field(min_length=2)]
    pair: tuple[int, str]
    names: dict[str, int]
    maybe: int | None
    tree: Node
    is_good: bool


@pytest.mark.parametrize("wanted", [Everything, Node, list[Node], int, str | None, dict[str, str]])
def test_the_value_is_valid(wanted: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(wanted)
    value = value_for(adapter.json_schema())
    adapter.validate_python(value)
    assert value == value_for(adapter.json_schema()), "the same each time"


def test_geminis_own_way_of_writing_types_is_understood() -> None:
    schema = {"type": "OBJECT", "properties": {"count": {"type": "INTEGER"}, "names": {"type": "ARRAY"}}}
    assert value_for(schema) == {"count": 1, "names": ["some names"]}


def test_parts_that_must_all_hold_are_joined() -> None:
    schema = {
        "allOf": [
            {"type": "object", "properties": {"a": {"const": 1}}},
            {"$ref": "#/$defs/other"},
        ],
        "$defs": {"other": {"type": "object"}},
    }
    assert value_for(schema) == {"a": 1}
