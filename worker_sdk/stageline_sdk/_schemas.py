"""From Python types to JSON Schema, through pydantic. Everything here is cached: types do not change."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    Secret,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from stageline_sdk._violations import violations_of
from stageline_sdk.empty import NoInput
from stageline_sdk.errors import DefinitionError, FieldViolation

Schema = dict[str, Any]

#: Validation: what may be sent. Serialization: what will be written. They differ in defaults and computed fields.
SchemaMode = Literal["validation", "serialization"]


class _QuietGenerator(GenerateJsonSchema):
    """Leaves out what JSON cannot show (a default that is a function, say) without a warning for each."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's own declaration


def adapter_for(kind: Any) -> TypeAdapter[Any]:
    """Return pydantic's adapter for a type.

    Raises:
        DefinitionError: pydantic cannot read or write values of this type.
    """
    try:
        return _cached_adapter(kind)
    except TypeError:  # The type is not hashable, such as Annotated[str, some_list].
        return _new_adapter(kind)


def schema_of(kind: Any, mode: SchemaMode) -> Schema:
    """Return the JSON Schema (2020-12) of a type; `{}`, which accepts anything, for NoInput.

    Raises:
        DefinitionError: The type has no JSON Schema.
    """
    if kind is NoInput:
        return {}
    adapter = adapter_for(kind)
    try:
        return adapter.json_schema(mode=mode, schema_generator=_QuietGenerator)
    except PydanticUserError as error:
        raise DefinitionError(
            f"{type_name(kind)} cannot be described by JSON Schema: {first_line(error)}"
        ) from error


def joined_schema(schemas: Mapping[str, Schema]) -> Schema:
    """Return the schema of an object whose every property, all of them required, has the schema given for it."""
    return {
        "type": "object",
        "properties": {name: {"$ref": f"#/$defs/{name}"} for name in schemas},
        "required": list(schemas),
        "$defs": {name: _moved_under(f"#/$defs/{name}", schema) for name, schema in schemas.items()},
    }


def default_config_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the defaults of a config model's own fields, as JSON values under the names a run's config uses.

    Fields without a default are absent, and so are secrets and defaults that JSON cannot show: the model fills
    those in when the stage runs. A default factory is called once.
    """
    defaults: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if field.is_required() or field.default_factory_takes_validated_data:
            continue
        value = field.get_default(call_default_factory=True)
        if isinstance(value, Secret | SecretStr | SecretBytes):
            continue
        try:
            defaults[_wire_name(name, field)] = to_jsonable_python(value, by_alias=True)
        except PydanticSerializationError:
            continue
    return defaults


def default_violations(model: type[BaseModel], defaults: Mapping[str, Any]) -> list[FieldViolation]:
    """Return what is wrong with a model's own defaults, which pydantic does not look at: the server would refuse them."""
    try:
        model.model_validate_json(to_json(defaults))
    except ValidationError as error:
        return [each for each in violations_of(error, "") if _names_a_key_of(defaults, each.field)]
    return []


def _names_a_key_of(defaults: Mapping[str, Any], path: str) -> bool:
    return any(path == key or path.startswith((f"{key}.", f"{key}[")) for key in defaults)


def type_name(kind: Any) -> str:
    """Return a type's name as a user wrote it."""
    return kind.__qualname__ if isinstance(kind, type) and not hasattr(kind, "__origin__") else str(kind)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text: pydantic adds links and context below it."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _moved_under(pointer: str, value: Any) -> Any:
    """Return a schema for a place below the root of its document, with its references changed accordingly."""
    if isinstance(value, list):
        return [_moved_under(pointer, item) for item in value]
    if not isinstance(value, dict):
        return value
    moved = {key: _moved_under(pointer, item) for key, item in value.items()}
    reference = moved.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = pointer + reference.removeprefix("#")
    return moved


@lru_cache(maxsize=4096)
def _cached_adapter(kind: Any) -> TypeAdapter[Any]:
    return _new_adapter(kind)


def _new_adapter(kind: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(kind)
    except (PydanticUserError, NameError) as error:
        raise DefinitionError(
            f"pydantic cannot read or write {type_name(kind)}: {first_line(error)}. "
            "Use a pydantic model, a dataclass, a TypedDict, or JSON's own types"
        ) from error


def _wire_name(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias or field.alias
    if isinstance(alias, AliasChoices):
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), None)
    if isinstance(alias, AliasPath) or alias is None:
        return name
    return alias
