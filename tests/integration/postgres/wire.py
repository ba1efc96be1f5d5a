"""What a connection says to the server, counted in libpq's own trace."""

import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg.pq import Trace

from stageline_engine.adapters.postgres import PostgresDatabase


@asynccontextmanager
async def messages_sent(database: PostgresDatabase) -> AsyncIterator[Counter[str]]:
    """Counts the messages that the transactions of the block send, by their names in the protocol.

    ``Execute`` is a statement run, ``Parse`` one prepared. ``Sync`` and ``Flush`` make the server answer: each is a
    round trip. The database must have a single connection for transactions.
    """
    counted: Counter[str] = Counter()
    with tempfile.TemporaryFile("w+") as trace:
        async with database.transaction_connection() as connection:
            connection.pgconn.trace(trace.fileno())
            connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        yield counted
        async with database.transaction_connection() as connection:
            connection.pgconn.untrace()
        trace.seek(0)
        fields = (line.split("\t") for line in trace)
        counted.update(line[2].strip() for line in fields if len(line) > 2 and line[0] == "F")
