"""What is certain to fail is told at build time; what may work is left alone."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from stageline_sdk._compatibility import find_join_problems, find_problems, node_of


class Item(BaseModel):
    price: int


class Order(BaseModel):
    items: list[Item]
    note: str | None = None


class PricedInWords(BaseModel):
    price: str


class OrderInWords(BaseModel):
    items: list[PricedInWords]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int


class NeedsUnknown(BaseModel):
    unknown: int


class Aliased(BaseModel):
    first: int = Field(alias="First")


class WantsAlias(BaseModel):
    first: int = Field(alias="First")


class Tree(BaseModel):
    value: int
    children: list["Tree"] = []


class Colour(Enum):
    RED = "red"


class Rank(IntEnum):
    FIRST = 1


def problems(written: Any, read: Any) -> list[str]:
    return find_problems(
        node_of(TypeAdapter(written).json_schema(mode="serialization")),
        node_of(TypeAdapter(read).json_schema(mode="validation")),
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (Order, Order),
        (Order, Any),
        (Any, Order),
        (Order, dict[str, Any]),
        (dict[str, int], Item),
        (Open, NeedsUnknown),
        (Aliased, WantsAlias),
        (Tree, Tree),
        (int, float),
        (float, int),
        (str | None, str),
        (str, str | int),
        (Decimal, Decimal),
        (datetime, datetime),
        (timedelta, timedelta),
        (bytes, str),
        (Colour, str),
        (Rank, int),
        (Literal["a", "b"], str),
        (tuple[int, str], list[Any]),
        (set[int], list[int]),
        (None, None),
        (Item | PricedInWords, Item),
    ],
    ids=str,
)
def test_what_may_work_is_left_alone(written: Any, read: Any) -> None:
    assert problems(written, read) == []


@pytest.mark.parametrize(
    ("written", "read", "expected"),
    [
        (int, str, ["the stage before gives integer, it expects string"]),
        (float, str, ["the stage before gives number, it expects string"]),
        (list[int], Item, ["the stage before gives array, it expects object"]),
        (None, int, ["the stage before gives null, it expects integer"]),
        (Literal["a"], int, ["the stage before gives string, it expects integer"]),
        (Item, NeedsUnknown, ["unknown: required, but the stage before does not give it (it gives price)"]),
        (Item, WantsAlias, ["First: required, but the stage before does not give it (it gives price)"]),
        (Order, OrderInWords, ["items[].price: the stage before gives integer, it expects string"]),
        (int | None, str, ["the stage before gives integer or null, it expects string"]),
        (Item | PricedInWords, NeedsUnknown, ["the stage before gives object, it expects object"]),
    ],
    ids=str,
)
def test_what_cannot_work_is_told(written: Any, read: Any, expected: list[str]) -> None:
    assert problems(written, read) == expected


def test_a_join_is_an_object_by_stage_id() -> None:
    class Joined(BaseModel):
        item: Item
        count: str = ""

    written = {
        "item": node_of(TypeAdapter(Item).json_schema()),
        "count": node_of(TypeAdapter(int).json_schema()),
        "unread": node_of({}),
    }
    assert find_join_problems(written, node_of(TypeAdapter(Joined).json_schema())) == [
        "count: the stage before gives integer, it expects string"
    ]
    assert find_join_problems(written, node_of(TypeAdapter(dict[str, Any]).json_schema())) == []
    assert find_join_problems(written, node_of(TypeAdapter(list[int]).json_schema())) == [
        "the stages before it give an object keyed by stage id, it expects array"
    ]
