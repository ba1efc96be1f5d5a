"""The database's time, read now and then and carried on by this machine's steady clock in between."""

import time
from datetime import UTC, datetime, timedelta

from stageline_engine.adapters.postgres.database import PostgresDatabase
from stageline_engine.adapters.postgres.statements import settings
from stageline_engine.errors import InvariantError


class PostgresClock:
    """The Clock port. All servers on one database agree on the time, whatever their own clocks say."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Takes the connections. ``refresh`` must be called once before the first ``now``."""
        self._database = database
        self._read_at: float | None = None
        self._time = datetime.min.replace(tzinfo=UTC)

    async def refresh(self) -> None:
        """Reads the database's time anew. Once a minute is plenty: steady clocks drift by milliseconds an hour.

        Raises:
            StorageUnavailableError: It cannot be read; the clock goes on as it did.
        """
        before = time.monotonic()
        ((read,),) = await self._database.run(settings.DATABASE_TIME)
        after = time.monotonic()
        self._time, self._read_at = read, (before + after) / 2

    def now(self) -> datetime:
        """Returns the present time of the database, right within half a round trip.

        Raises:
            InvariantError: The clock was never refreshed.
        """
        if self._read_at is None:
            raise InvariantError("the database's time was never read; call refresh() first")
        return self._time + timedelta(seconds=time.monotonic() - self._read_at)
