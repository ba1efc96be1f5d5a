"""JSON on the command line: as text, from a file, or from standard input."""

import json
import sys
from pathlib import Path
from typing import Any

import click


class JsonType(click.ParamType[Any]):
    """A JSON value: its text, `@file`, or `-` for standard input."""

    name = "JSON|@FILE|-"

    def __init__(self, *, is_object: bool = False) -> None:
        """Takes whether only an object will do."""
        self._is_object = is_object

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Reads and parses it; a mistake is told with its line and column."""
        if not isinstance(value, str):
            return value
        text, source = self._read(value, param, ctx)
        try:
            parsed = json.loads(text, parse_constant=_refuse_constant)
        except ValueError as error:
            self.fail(f"{source} is no JSON: {error}", param, ctx)
        if self._is_object and not isinstance(parsed, dict):
            self.fail(f"{source} must be a JSON object, such as '{{\"stage-id\": {{}}}}'", param, ctx)
        return parsed

    def _read(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        try:
            if value == "-":
                return sys.stdin.read(), "standard input"
            if value.startswith("@"):
                return Path(value[1:]).read_text(encoding="utf-8"), f"file {value[1:]}"
        except UnicodeDecodeError as error:
            self.fail(f"{value} is not UTF-8 text: {error.reason} at byte {error.start}", param, ctx)
        except OSError as error:
            self.fail(f"{value[1:]} cannot be read: {error.strerror}", param, ctx)
        return value, f"{value[:40]!r}"


class LabelType(click.ParamType[tuple[str, str]]):
    """A label: `key=value`."""

    name = "KEY=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Splits it at the first `=`."""
        if isinstance(value, tuple):
            return value
        key, separator, text = str(value).partition("=")
        if not separator or not key:
            self.fail(f"{value!r} is no label; write key=value", param, ctx)
        return key, text


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed in JSON")
