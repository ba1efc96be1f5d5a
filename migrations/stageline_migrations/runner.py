"""Brings a database's schema to a revision. Safe to call from several servers at once: one migrates, the others wait."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

HEAD = "head"
BASE = "base"

_LOCK_INTERVAL = timedelta(milliseconds=100)
"""Between two tries to get the lock. Whoever waited inside one statement would hold up an index that is made concurrently."""

_LOCK_NUMBER = 0x5374_6167_656C_696E  # of a session's advisory lock, held while the schema is changed


def upgrade(dsn: str, revision: str = HEAD) -> None:
    """Upgrades the schema.

    Args:
        dsn: A ``postgresql://`` URL of a user who may make tables.
        revision: Where to; the newest if unsaid.

    Raises:
        sqlalchemy.exc.OperationalError: The database cannot be reached.
    """
    with _locked(dsn) as connection:
        command.upgrade(_config(connection), revision)


def downgrade(dsn: str, revision: str) -> None:
    """Takes the schema back. What the newer one holds beyond the older one is lost.

    Args:
        dsn: As in ``upgrade``.
        revision: Where to; ``base`` removes every table.
    """
    with _locked(dsn) as connection:
        command.downgrade(_config(connection), revision)


def current(dsn: str) -> str | None:
    """Returns the revision of a database's schema; None where it has none yet."""
    with _connected(dsn) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """Returns the newest revision that this installation knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise AssertionError("there are no migrations")
    return head


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "stageline_migrations:")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connected(dsn: str) -> Iterator[Connection]:
    engine = create_engine(make_url(dsn).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _locked(dsn: str) -> Iterator[Connection]:
    """Connects, and holds the lock until the connection ends."""
    with _connected(dsn) as connection:
        while not _took_lock(connection):
            time.sleep(_LOCK_INTERVAL.total_seconds())
        yield connection
        connection.commit()


def _took_lock(connection: Connection) -> bool:
    """Tries to get the lock, and leaves no transaction open where another has it."""
    taken = connection.execute(
        text("SELECT pg_try_advisory_lock(:number)"), {"number": _LOCK_NUMBER}
    ).scalar()
    connection.commit()
    return bool(taken)
