"""Fields that many requests share, checked: namespaces, ids, page sizes, times, payloads."""

import re
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from stageline_engine import limits
from stageline_engine.rejections import FieldViolation
from stageline_server.errors import Refusal, RefusedError, invalid_field

DEFAULT_NAMESPACE = "default"

_NAME = re.compile(limits.NAME_PATTERN)


def namespace_of(text: str) -> str:
    """Returns the namespace that a request means; empty means ``default``.

    Raises:
        RefusedError: It is no name. INVALID_FIELD.
    """
    if not text:
        return DEFAULT_NAMESPACE
    if not _NAME.fullmatch(text):
        raise invalid_field("namespace", f"must match {limits.NAME_PATTERN}")
    return text


def required_name(text: str, field: str) -> str:
    """Returns a name by which something is looked up. One that could never be registered is merely not found.

    Raises:
        RefusedError: It is missing, too long, or holds U+0000. INVALID_FIELD.
    """
    if not text:
        raise invalid_field(field, "is required")
    return optional_name(text, field)


def optional_name(text: str, field: str) -> str:
    """As ``required_name``, and empty is fine."""
    if len(text) > limits.NAME_LENGTH_MAX:
        raise out_of_range(field, f"at most {limits.NAME_LENGTH_MAX} characters", len(text))
    if "\0" in text:
        raise invalid_field(field, "contains the character U+0000")
    return text


def run_id_of(text: str) -> UUID:
    """Returns a run's id.

    Raises:
        RefusedError: It is missing or no UUID. INVALID_FIELD.
    """
    if not text:
        raise invalid_field("run_id", "is required")
    try:
        found = UUID(text)
    except ValueError:
        found = None
    if found is None or str(found) != text.lower():
        raise invalid_field("run_id", f"is no UUID: {text[:64]!r}")
    return found


def version_of(number: int) -> int:
    """Returns a workflow's version, 0 for the latest.

    Raises:
        RefusedError: It is negative. INVALID_FIELD.
    """
    if number < 0:
        raise out_of_range("workflow_version", "0 or more", number)
    return number


def page_size_of(number: int) -> int:
    """Returns the size of a page; 0 means the default.

    Raises:
        RefusedError: It is negative or above the limit. INVALID_FIELD.
    """
    if not 0 <= number <= limits.PAGE_SIZE_MAX:
        raise out_of_range("page_size", f"0 to {limits.PAGE_SIZE_MAX}", number)
    return number or limits.PAGE_SIZE_DEFAULT


def out_of_range(field: str, allowed: str, actual: int) -> RefusedError:
    """The error of a number that breaks the range of its field's comment."""
    violation = FieldViolation(field, f"must be {allowed}, but is {actual}")
    metadata = {"limit": allowed, "actual": str(actual)}
    return RefusedError(
        Refusal("INVALID_FIELD", f"{field} must be {allowed}, but is {actual}.", metadata, (violation,))
    )


def time_of(value: Timestamp, field: str) -> datetime:
    """Returns a time with its zone.

    Raises:
        RefusedError: It is outside of the years 1 to 9999. INVALID_FIELD.
    """
    try:
        return value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise invalid_field(field, "is no time between the years 1 and 9999") from None


def timestamp_of(value: datetime | None) -> Timestamp | None:
    """Returns a time as a message; None stays unset."""
    if value is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
