"""The rule for stage ids and workflow names."""

import re

from stageline_sdk._limits import NAME_LENGTH_MAX, NAME_PATTERN
from stageline_sdk.errors import DefinitionError, InvalidStageIdError

NAME_RULE = (
    f"1 to {NAME_LENGTH_MAX} characters: lower-case letters, digits, '-', '_' and '.', "
    "with a letter or digit first and last"
)

_NAME = re.compile(NAME_PATTERN)


def name_fits(value: str) -> bool:
    """Whether the value keeps the rule for ids and names."""
    return _NAME.fullmatch(value) is not None


def require_stage_id(value: object) -> str:
    """Return the value, a stage id that keeps the rule.

    Raises:
        InvalidStageIdError: It does not; the message shows the rule and, where one is near, an id that would do.
    """
    if isinstance(value, str) and name_fits(value):
        return value
    shown = _shown(value)
    raise InvalidStageIdError(f"stage id {shown} is not valid: use {NAME_RULE}{_suggestion(value)}", id=shown)


def require_workflow_name(value: object) -> str:
    """Return the value, a workflow name that keeps the rule.

    Raises:
        DefinitionError: It does not; the message shows the rule.
    """
    if isinstance(value, str) and name_fits(value):
        return value
    raise DefinitionError(f"workflow name {_shown(value)} is not valid: use {NAME_RULE}{_suggestion(value)}")


def title_of(name: str) -> str:
    """Return a title made of an id: `extract-text` becomes `Extract Text`."""
    return " ".join(word.capitalize() for word in re.split(r"[-_.]+", name))


def _shown(value: object) -> str:
    """Return the value as text that is short and free of control characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def _suggestion(value: object) -> str:
    if not isinstance(value, str):
        return f"; it is a {type(value).__name__}, not a string"
    near = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")
    return f"; for example {near!r}" if name_fits(near) else ""
