"""Time, ids and chance: the three things that a pure engine must be given."""

from datetime import datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """The one source of time."""

    def now(self) -> datetime:
        """Returns the present time with its zone. In production the database's, in tests a virtual one."""
        ...

    async def refresh(self) -> None:
        """Reads the source again, so that the clock does not drift from it. Nothing happens where there is none."""
        ...


class IdSource(Protocol):
    """The source of ids, secrets and chance."""

    def new_id(self) -> UUID:
        """Returns a UUIDv7: later ids of one source sort after earlier ones."""
        ...

    def new_token(self) -> UUID:
        """Returns 122 bits that nobody can guess."""
        ...

    def chance(self) -> float:
        """Returns a number from 0 to 1, evenly spread."""
        ...
