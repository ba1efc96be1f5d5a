"""JSON and labels on the command line."""

import io
from pathlib import Path
from typing import Any

import click
import pytest

from stageline_cli.json_arguments import JsonType, LabelType


def read(value: str, *, is_object: bool = False) -> Any:
    return JsonType(is_object=is_object).convert(value, None, None)


@pytest.mark.parametrize(("text", "value"), [('{"a": [1, null]}', {"a": [1, None]}), ("3", 3), ('"é"', "é")])
def test_text(text: str, value: object) -> None:
    assert read(text) == value


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text('{"a": "é"}', encoding="utf-8")
    assert read(f"@{tmp_path}/input.json") == {"a": "é"}


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("[1]"))
    assert read("-") == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":', "is no JSON.*line 1 column 6"),
        ("", "is no JSON"),
        ("NaN", "NaN is not allowed"),
        ("@/nowhere/at/all", "cannot be read: No such file"),
    ],
)
def test_mistakes_are_told(text: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        read(text)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(click.BadParameter, match=r"not UTF-8 text.*byte 7"):
        read(f"@{tmp_path}/input.json")


def test_config_must_be_an_object() -> None:
    assert read("{}", is_object=True) == {}
    with pytest.raises(click.BadParameter, match="must be a JSON object"):
        read("[]", is_object=True)


def test_labels() -> None:
    assert LabelType().convert("a=b=c", None, None) == ("a", "b=c")
    assert LabelType().convert("a=", None, None) == ("a", "")
    for wrong in ("a", "=b"):
        with pytest.raises(click.BadParameter, match="write key=value"):
            LabelType().convert(wrong, None, None)
