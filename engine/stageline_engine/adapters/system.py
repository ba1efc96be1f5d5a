"""Ids and chance from the operating system."""

import secrets
from uuid import UUID

import uuid_utils.compat


class SystemIds:
    """UUIDv7 ids that grow within one process, random tokens."""

    def __init__(self) -> None:
        """Needs nothing."""
        self._random = secrets.SystemRandom()

    def new_id(self) -> UUID:
        """Returns a UUIDv7."""
        return uuid_utils.compat.uuid7()

    def new_token(self) -> UUID:
        """Returns a UUIDv4 from the operating system's randomness."""
        return uuid_utils.compat.uuid4()

    def chance(self) -> float:
        """Returns a number from 0 to 1."""
        return self._random.random()
