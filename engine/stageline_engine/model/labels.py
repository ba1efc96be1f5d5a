"""Labels: what runs and workers say of themselves, and what stages require of workers."""

from collections.abc import Iterator, Mapping

from stageline_engine import limits
from stageline_engine.rejections import FieldViolation


def label_violations(labels: Mapping[str, str], field: str = "labels") -> Iterator[FieldViolation]:
    """Yields what is wrong with labels; ``field`` is their path as the caller wrote it."""
    if len(labels) > limits.LABELS_MAX:
        yield FieldViolation(field, f"{len(labels)} entries, limit {limits.LABELS_MAX}")
    for key, value in labels.items():
        if not 0 < len(key) <= limits.LABEL_KEY_LENGTH_MAX:
            yield FieldViolation(
                field, f"a key has {len(key)} characters, allowed 1 to {limits.LABEL_KEY_LENGTH_MAX}"
            )
        elif len(value) > limits.LABEL_VALUE_LENGTH_MAX:
            yield FieldViolation(
                f"{field}.{key}", f"{len(value)} characters, limit {limits.LABEL_VALUE_LENGTH_MAX}"
            )
        if "\0" in key or "\0" in value:
            yield FieldViolation(field, "contains the character U+0000")


def labels_satisfy(labels: Mapping[str, str], required: Mapping[str, str]) -> bool:
    """Whether somebody with these labels has all that are required, each with that very value."""
    return required.items() <= labels.items()


def labels_text(labels: Mapping[str, str]) -> str:
    """Returns labels for people, such as ``gpu=a100, zone=eu``."""
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
