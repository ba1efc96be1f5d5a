"""Ids that sort by the time of their making (RFC 9562, version 7): kind to the index of a table that grows."""

import secrets
import time
import uuid


def uuid7() -> str:
    """Return a new id, in its usual form."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(uuid.UUID(int=value))
