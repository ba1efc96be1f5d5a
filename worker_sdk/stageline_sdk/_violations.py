"""From pydantic's errors to fields and words."""

from pydantic import ValidationError

from stageline_sdk.errors import FieldViolation


def violations_of(error: ValidationError, prefix: str) -> list[FieldViolation]:
    """Return one violation for each error that pydantic found.

    Args:
        error: What a model raised.
        prefix: Path of the value that was validated, such as `config.extract-text`; may be empty.
    """
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [FieldViolation(path_of(detail["loc"], prefix), detail["msg"]) for detail in found]


def path_of(location: tuple[int | str, ...], prefix: str = "") -> str:
    """Return a path such as `items[3].price`."""
    path = prefix
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path
