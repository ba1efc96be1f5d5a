"""Ids, secrets and chance that come out the same every time."""

import hashlib
from uuid import UUID

_TIMESTAMP_BASE_MILLISECONDS = 1_893_456_000_000
"""2030-01-01, the virtual clock's first moment."""


class SequentialIds:
    """The IdSource port for tests: the same seed gives the same values in the same order.

    Ids have the shape of a UUIDv7 and grow; tokens have the shape of a UUIDv4. All come from SHA-256 of seed and count.
    """

    def __init__(self, seed: int = 0) -> None:
        """Takes a seed; sources with different seeds have no value in common."""
        self._seed = seed
        self._count = 0

    def new_id(self) -> UUID:
        """Returns a UUIDv7 that sorts after all earlier ones of this source."""
        noise = self._next()
        milliseconds = _TIMESTAMP_BASE_MILLISECONDS + self._count
        value = (
            (milliseconds << 80)
            | (0x7 << 76)
            | (noise & (0xFFF << 64))
            | (0b10 << 62)
            | (noise & (2**62 - 1))
        )
        return UUID(int=value)

    def new_token(self) -> UUID:
        """Returns a UUIDv4."""
        return UUID(int=self._next(), version=4)

    def chance(self) -> float:
        """Returns a number from 0 to 1."""
        return self._next() / 2**128

    def _next(self) -> int:
        self._count += 1
        return int.from_bytes(hashlib.sha256(f"{self._seed}:{self._count}".encode()).digest()[:16])
