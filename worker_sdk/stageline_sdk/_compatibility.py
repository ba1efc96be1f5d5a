"""Can a stage read what the stages before it write? Compares two JSON Schemas and reports only what is certain.

It is not a proof of compatibility, which JSON Schema does not allow: lengths, ranges and patterns are left to the
validation of real values. It finds the mistakes that people make: a field that nobody writes, a type that is another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ALL_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})

#: Schemas may refer to themselves. Deeper than this a mistake is left to the validation of real values.
_DEPTH_MAX = 12


@dataclass(frozen=True)
class SchemaNode:
    """A schema together with the document in which its `$ref`s are found."""

    schema: Any
    root: Mapping[str, Any]

    def child(self, schema: Any) -> "SchemaNode":
        """Return a node for a part of this schema's document."""
        return SchemaNode(schema, self.root)


def node_of(schema: Mapping[str, Any]) -> SchemaNode:
    """Return the node of a whole document."""
    return SchemaNode(schema, schema)


def find_problems(written: SchemaNode, read: SchemaNode) -> list[str]:
    """Return one line for each part of `read` that no value of `written` can satisfy."""
    return list(_compare(written, read, path="", depth=0))


def find_join_problems(written_by_stage: Mapping[str, SchemaNode], read: SchemaNode) -> list[str]:
    """The same for a parallel group, which writes one object keyed by stage id."""
    branches = list(_branches(read))
    objects = [branch for branch in branches if "object" in _types(branch)]
    if not objects:
        return [f"the stages before it give an object keyed by stage id, it expects {_names(branches)}"]
    if len(objects) > 1:
        return []
    reader = objects[0]
    problems = [
        f"{field}: no stage of the group before has this id"
        for field in _required(reader)
        if field not in written_by_stage
    ]
    properties = _properties(reader)
    for stage_id, written in written_by_stage.items():
        if stage_id in properties:
            problems.extend(_compare(written, reader.child(properties[stage_id]), path=stage_id, depth=1))
    return problems


def _compare(written: SchemaNode, read: SchemaNode, path: str, depth: int) -> Iterator[str]:
    writers, readers = list(_branches(written)), list(_branches(read))
    if depth > _DEPTH_MAX or not writers or not readers:
        return
    if len(writers) == 1 and len(readers) == 1:
        yield from _compare_plain(writers[0], readers[0], path, depth)
        return
    fitting = any(
        not any(_compare_plain(writer, reader, path, depth + 1)) for writer in writers for reader in readers
    )
    if not fitting:
        yield f"{_at(path)}the stage before gives {_names(writers)}, it expects {_names(readers)}"


def _compare_plain(written: SchemaNode, read: SchemaNode, path: str, depth: int) -> Iterator[str]:
    """Compare two schemas that are not alternatives."""
    common = _types(written) & _types(read)
    if not common:
        yield f"{_at(path)}the stage before gives {_names([written])}, it expects {_names([read])}"
    elif _types(written) == {"object"} and common == {"object"}:
        yield from _compare_objects(written, read, path, depth)
    elif _types(written) == {"array"} and common == {"array"}:
        yield from _compare_items(written, read, path, depth)


def _compare_objects(written: SchemaNode, read: SchemaNode, path: str, depth: int) -> Iterator[str]:
    gives, expects = _properties(written), _properties(read)
    if _is_closed(written):
        for field in _required(read):
            if field not in gives:
                has = ", ".join(sorted(gives)) or "no fields"
                yield f"{_join(path, field)}: required, but the stage before does not give it (it gives {has})"
    for field, schema in expects.items():
        if field in gives:
            below = _join(path, field)
            yield from _compare(written.child(gives[field]), read.child(schema), below, depth + 1)


def _compare_items(written: SchemaNode, read: SchemaNode, path: str, depth: int) -> Iterator[str]:
    gives, expects = written.schema.get("items"), read.schema.get("items")
    if isinstance(gives, Mapping) and isinstance(expects, Mapping):
        yield from _compare(written.child(gives), read.child(expects), f"{path}[]", depth + 1)


def _branches(node: SchemaNode, depth: int = 0) -> Iterator[SchemaNode]:
    """Yield the alternatives of a schema; nothing if it has a form that is not judged here."""
    schema = node.schema
    if not isinstance(schema, Mapping) or depth > _DEPTH_MAX:
        return
    if "$ref" in schema:
        target = _resolve(str(schema["$ref"]), node.root)
        if target is not None:
            yield from _branches(node.child(target), depth + 1)
        return
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives is None:
        yield node
        return
    for alternative in alternatives:
        yield from _branches(node.child(alternative), depth + 1)


def _types(node: SchemaNode) -> frozenset[str]:
    """Return the JSON types that values of a schema can have; an integer is also a number."""
    schema = node.schema
    if "type" in schema:
        named = schema["type"]
        types = frozenset([named] if isinstance(named, str) else named)
    elif "const" in schema:
        types = frozenset({_type_of(schema["const"])})
    elif "enum" in schema:
        types = frozenset(_type_of(value) for value in schema["enum"])
    else:
        return _ALL_TYPES
    return types | {"integer", "number"} if types & {"integer", "number"} else types


def _type_of(value: Any) -> str:
    # bool before int: in Python, True is an int.
    kinds: Sequence[tuple[type, str]] = (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (list, "array"),
        (dict, "object"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


def _is_closed(node: SchemaNode) -> bool:
    """Whether an object writes only its named properties. pydantic says nothing there for a model that drops extras."""
    schema = node.schema
    return (
        "properties" in schema
        and not schema.get("additionalProperties")
        and "patternProperties" not in schema
    )


def _properties(node: SchemaNode) -> Mapping[str, Any]:
    properties = node.schema.get("properties", {})
    return properties if isinstance(properties, Mapping) else {}


def _required(node: SchemaNode) -> Sequence[str]:
    required = node.schema.get("required", ())
    return required if isinstance(required, Sequence) else ()


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """Return what a local reference such as `#/$defs/Item` points at, or None."""
    target: Any = root
    for part in reference.removeprefix("#/").split("/"):
        if not isinstance(target, Mapping):
            return None
        target = target.get(part.replace("~1", "/").replace("~0", "~"))
    return target


def _names(nodes: Sequence[SchemaNode]) -> str:
    """Return the types of these schemas in words, as `string or null`."""
    found = {str(name) for node in nodes for name in _types(node)}
    if found >= _ALL_TYPES:
        return "anything"
    if {"integer", "number"} <= found and all(node.schema.get("type") != "number" for node in nodes):
        found.discard("number")
    else:
        found.discard("integer")
    return " or ".join(sorted(found))


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def _at(path: str) -> str:
    return f"{path}: " if path else ""
