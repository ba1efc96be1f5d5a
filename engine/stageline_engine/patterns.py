"""Patterns of event types: a type, or the beginning of one with ``*`` after it."""

from collections.abc import Iterable


def matches_any(patterns: Iterable[str], event_type: str) -> bool:
    """Returns whether a type matches one of the patterns: ``stage:completed``, ``stage:*`` or ``*``."""
    return any(
        event_type.startswith(pattern[:-1]) if pattern.endswith("*") else event_type == pattern
        for pattern in patterns
    )
