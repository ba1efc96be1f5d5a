"""A JSON Schema in a few words."""

import json
from collections.abc import Mapping
from typing import Any


def fields_of(schema: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> str:
    """Returns an object schema's fields as `url: string, limit: integer = 5`; optional ones end in `?`.

    Args:
        schema: The schema.
        defaults: Values that hold where none is given.
    """
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return "anything" if not schema else _type_of(schema, schema)
    required = schema.get("required", ())
    fields = []
    for name, field in properties.items():
        default = {**field, **({"default": defaults[name]} if defaults and name in defaults else {})}.get(
            "default", ...
        )
        mark = "" if name in required or default is not ... else "?"
        ending = "" if default is ... else f" = {json.dumps(default)}"
        fields.append(f"{name}{mark}: {_type_of(field, schema)}{ending}")
    return ", ".join(fields) or "none"


def _type_of(field: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field:
        return " | ".join(json.dumps(value) for value in field["enum"])
    if "const" in field:
        return json.dumps(field["const"])
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " | ".join(_type_of(each, root) for each in field[key])
    if field.get("type") == "array" and isinstance(field.get("items"), Mapping):
        return f"array of {_type_of(field['items'], root)}"
    kind = field.get("type", "anything")
    return " | ".join(kind) if isinstance(kind, list) else str(kind)
