"""JSON in and out: strict for outputs, which must be right, and lenient for logs, which must never fail a stage."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

_NUL = "\x00"
_NUL_IN_JSON = b"\\u0000"


class NulCharacterError(ValueError):
    """A value holds U+0000, which PostgreSQL cannot store.

    Attributes:
        path: Where, such as `pages[3].text`; empty for the whole value.
    """

    def __init__(self, path: str) -> None:
        where = f"field {path}" if path else "the value"
        super().__init__(f"{where} holds the null character U+0000, which cannot be stored; remove it")
        self.path = path


def encode(adapter: TypeAdapter[Any], value: Any) -> bytes:
    """Return a value as the JSON text that its type's schema describes.

    Args:
        adapter: The declared type.
        value: What the stage returned: an instance, or anything that pydantic can make into one.

    Raises:
        pydantic.ValidationError: The value is not of the type.
        pydantic_core.PydanticSerializationError: A part of it has no form in JSON, or was changed into what the type
            does not allow.
        NulCharacterError: A string in it holds U+0000.
    """
    text = adapter.dump_json(adapter.validate_python(value), by_alias=True, warnings="error")
    if _NUL_IN_JSON in text:  # Also true of an escaped backslash before u0000, so look closer.
        path = _path_of_nul(from_json(text))
        if path is not None:
            raise NulCharacterError(path)
    return text


def join_outputs(outputs: Mapping[str, bytes]) -> bytes:
    """Return the input that the stages of the group before give: one output as it is, several as an object by stage id.

    Args:
        outputs: The outputs of the whole group as JSON text, by stage id; at least one.
    """
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    return b"{" + b",".join(to_json(stage_id) + b":" + output for stage_id, output in outputs.items()) + b"}"


def jsonable_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return key-value details as JSON values, as `jsonable` does for each."""
    return {clean_text(str(key)): jsonable(value) for key, value in fields.items()}


def jsonable(value: Any) -> Any:
    """Return any value as a JSON value; what JSON cannot show becomes its `repr`. Never raises."""
    if value is None or type(value) in (bool, int):  # Not an IntEnum, which is more than its number.
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    if isinstance(value, str):
        return clean_text(value)
    try:
        plain = from_json(to_json(value, inf_nan_mode="strings", bytes_mode="base64", fallback=repr))
    except Exception:  # noqa: BLE001 - a user's object may raise anything while it is shown, and this is a log line
        return clean_text(_safe_repr(value))
    return _clean_deep(plain)


def _clean_deep(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_clean_deep(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): _clean_deep(item) for key, item in value.items()}
    return value


def clean_text(text: str) -> str:
    """Replace what cannot be stored: U+0000, and halves of surrogate pairs, which are not UTF-8."""
    return text.replace(_NUL, "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - see jsonable
        return f"<{type(value).__name__} that cannot be shown>"


def _path_of_nul(value: Any, path: str = "") -> str | None:
    """Return the path of the first string that holds U+0000, None if there is none."""
    if isinstance(value, str):
        return path if _NUL in value else None
    children: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        if any(_NUL in key for key in value):
            return path
        children = [(f"{path}.{key}" if path else key, item) for key, item in value.items()]
    elif isinstance(value, list):
        children = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    for below, item in children:
        found = _path_of_nul(item, below)
        if found is not None:
            return found
    return None
