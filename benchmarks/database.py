"""Counters that PostgreSQL keeps, and a second database for the hand-written loop."""

import time
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.support.processes import Processes

LIMIT_DATABASE = "stageline_limit"
# An idle session of PostgreSQL writes its counters out after 10 seconds at the latest.
COUNTERS_SETTLE = timedelta(seconds=10.5)

_COUNTERS = """
    SELECT pg_current_xact_id()::text::bigint, xact_commit + xact_rollback,
        pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint
    FROM pg_stat_database WHERE datname = current_database()"""
_DURABILITY = (
    "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes')"
)


@dataclass(frozen=True)
class Counters:
    """What a database has done so far.

    Attributes:
        writes: Transactions that wrote; exact, of all databases of the server.
        transactions: All transactions of this database, as its sessions have told so far.
        wal_bytes: Written to the log, by all databases of the server.
    """

    writes: int
    transactions: int
    wal_bytes: int


def read_counters(dsn: str) -> Counters:
    """Reads the counters as they are told now."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(_COUNTERS).fetchone()
    assert row is not None
    return Counters(*row)


def settled_counters(dsn: str) -> Counters:
    """Reads the counters after a pause in which idle sessions tell theirs."""
    time.sleep(COUNTERS_SETTLE.total_seconds())
    return read_counters(dsn)


def require_durability(dsn: str) -> None:
    """Refuses to measure a database that may lose what it has acknowledged.

    Raises:
        RuntimeError: It is so set.
    """
    with psycopg.connect(dsn) as connection:
        weak = {name: value for name, value in connection.execute(_DURABILITY) if value != "on"}
    if weak:
        raise RuntimeError(f"the database is not durable, so its speed means nothing: {weak}")


def make_limit_database(dsn: str, processes: Processes) -> str:
    """Makes a database beside another one, with the same tables, and returns its address."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {LIMIT_DATABASE}")
        connection.execute(f"CREATE DATABASE {LIMIT_DATABASE}")
    limit_dsn = urlunsplit(urlsplit(dsn)._replace(path=f"/{LIMIT_DATABASE}"))
    migrated = processes.run("migrate", "migrate", environment={"STAGELINE_DATABASE_URL": limit_dsn})
    if migrated.exit_code != 0:
        raise RuntimeError(f"the tables could not be made: {migrated.errors}")
    return limit_dsn
