"""Labels of workers, and those that stages require of them."""

from collections.abc import Mapping

from stageline_sdk._limits import LABEL_KEY_LENGTH_MAX, LABEL_VALUE_LENGTH_MAX, LABELS_MAX
from stageline_sdk.errors import DefinitionError


def checked_labels(labels: Mapping[str, str] | None, whose: str) -> dict[str, str]:
    """Return labels as they are sent.

    Args:
        labels: As they were given; None means none.
        whose: Names their owner in errors, such as `a worker`.

    Raises:
        DefinitionError: There are too many, or one is no text or too long.
    """
    given = dict(labels or {})
    if len(given) > LABELS_MAX:
        raise DefinitionError(f"{whose} may have {LABELS_MAX} labels, got {len(given)}")
    for key, value in given.items():
        if not all(isinstance(text, str) for text in (key, value)):
            raise DefinitionError(f"labels of {whose} are texts, got {key!r}: {value!r}")
        if not 1 <= len(key) <= LABEL_KEY_LENGTH_MAX:
            raise DefinitionError(
                f"a label of {whose} has a key of 1 to {LABEL_KEY_LENGTH_MAX} characters, got {len(key)}"
            )
        if len(value) > LABEL_VALUE_LENGTH_MAX:
            raise DefinitionError(
                f"label {key!r} of {whose} may have {LABEL_VALUE_LENGTH_MAX} characters, got {len(value)}"
            )
    return given
