"""A value that fits a JSON Schema, the same each time: for answers that nobody scripted."""

from collections.abc import Mapping
from typing import Any

FORMATS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "duration": "PT1H",
    "email": "someone@example.org",
    "time": "03:04:05Z",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
DEPTH_MAX = 20
"""Deeper, a schema that contains itself gets its smallest values."""


def value_for(schema: Mapping[str, Any]) -> Any:
    """Return a value that fits a schema: the first choice of each, one item in each list, a text that names its field.

    Of the rules it obeys types, choices, constants, required and optional properties, least and greatest numbers, and
    lengths; patterns it does not.
    """
    return _Maker(schema).make(schema, "text", 0)


class _Maker:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def make(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        for choices in ("anyOf", "oneOf"):
            if schema.get(choices):
                return self.make(self._choice(schema[choices], depth), name, depth + 1)
        kind = self._kind(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in {"integer", "number"}:
            return _number(schema, is_whole=kind == "integer")
        return {"boolean": True, "null": None}.get(kind, _text(schema, name))

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            target: Any = self._root
            for part in str(schema["$ref"]).removeprefix("#/").split("/"):
                target = target[part]
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        for part in schema.get("allOf", ()):
            schema = {
                **self._resolved(part),
                **{key: value for key, value in schema.items() if key != "allOf"},
            }
        return schema

    def _choice(self, choices: list[Mapping[str, Any]], depth: int) -> Mapping[str, Any]:
        """Return the first that is not null; of a schema that goes too deep, null where it can be."""
        nulls = [each for each in choices if each.get("type") in {"null", "NULL"}]
        others = [each for each in choices if each not in nulls]
        return nulls[0] if nulls and (depth > DEPTH_MAX or not others) else others[0]

    @staticmethod
    def _kind(schema: Mapping[str, Any]) -> str:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        return str(kind).lower()

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        return {
            name: self.make(each, name, depth + 1)
            for name, each in schema.get("properties", {}).items()
            if depth <= DEPTH_MAX or name in required
        }

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        fixed = [self.make(each, name, depth + 1) for each in schema.get("prefixItems", ())]
        count = max(int(schema.get("minItems", 0)), 0 if depth > DEPTH_MAX or fixed else 1)
        item = schema.get("items") or {}
        more = range(count - len(fixed)) if isinstance(item, Mapping) else ()
        return [*fixed, *(self.make(item, name, depth + 1) for _ in more)]


def _number(schema: Mapping[str, Any], *, is_whole: bool) -> int | float:
    low = schema.get("minimum")
    if low is None and "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + (1 if is_whole else 0.5)
    high = schema.get("maximum")
    if high is None and "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - (1 if is_whole else 0.5)
    value = 1 if low is None else max(low, 1)
    value = value if high is None else min(value, high)
    return int(value) if is_whole else float(value)


def _text(schema: Mapping[str, Any], name: str) -> str:
    text = FORMATS.get(str(schema.get("format", "")), f"some {name.replace('_', ' ')}")
    longest = schema.get("maxLength")
    return text.ljust(int(schema.get("minLength", 0)), ".")[: None if longest is None else int(longest)]
