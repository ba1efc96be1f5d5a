"""Time, ids and chance from the operating system."""

import secrets
from datetime import UTC, datetime
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


class SystemClock:
    """The Clock port on this machine's own clock, for a state that no other server shares."""

    def now(self) -> datetime:
        """Returns the present time."""
        return datetime.now(UTC)

    async def refresh(self) -> None:
        """Does nothing: there is no other source."""
