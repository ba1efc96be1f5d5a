"""All cases."""

import importlib

from stageline_conformance.registry import CASES, Case

GROUPS = (
    "handshake",
    "frames",
    "life",
    "credit",
    "offers",
    "outcomes",
    "waits",
    "reports",
    "resume",
    "directives",
    "drains",
    "endings",
    "speech",
    "payloads",
)
"""What cases are about, in the order of the report; each is a module of this package."""


def _load() -> tuple[Case, ...]:
    for group in GROUPS:
        importlib.import_module(f"{__name__}.{group}")
    return tuple(CASES)


ALL_CASES = _load()
"""Every case, in the order of the groups."""
