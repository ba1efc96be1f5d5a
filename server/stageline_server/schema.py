"""Whether a database has the schema that this server needs."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy.exc

import stageline_migrations
from stageline_engine.errors import StorageUnavailableError

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class SchemaError(Exception):
    """The database's schema is not one that this server can work on. The message says what to do."""


async def migrate(dsn: str) -> tuple[str | None, str]:
    """Brings the schema up to date.

    Returns:
        The revisions before and after.

    Raises:
        StorageUnavailableError: The database cannot be reached.
    """
    before = await revision(dsn)
    if before is not None and before > stageline_migrations.newest():
        return before, before
    await _reached(stageline_migrations.upgrade, dsn)
    return before, stageline_migrations.newest()


async def check_schema(dsn: str) -> None:
    """Makes sure that the schema is at least as new as this server. Newer ones suit it: changes expand first.

    Raises:
        SchemaError: It is older, or there is none.
        StorageUnavailableError: The database cannot be reached.
    """
    found, newest = await revision(dsn), stageline_migrations.newest()
    if found is None:
        raise SchemaError("the database has no Stageline schema yet; run `stageline migrate` first")
    if found < newest:
        message = f"the database's schema is at revision {found}, and this server needs {newest}"
        raise SchemaError(f"{message}; run `stageline migrate` first")
    if found > newest:
        _log.warning("the schema is at revision %s, newer than this server's %s", found, newest)


async def revision(dsn: str) -> str | None:
    """Returns the revision of the schema; None where there is none.

    Raises:
        StorageUnavailableError: The database cannot be reached.
    """
    return await _reached(stageline_migrations.current, dsn)


async def _reached(step: Callable[[str], Result], dsn: str) -> Result:
    """Runs a blocking step in a thread; that the database cannot be reached becomes the engine's error."""
    try:
        return await asyncio.to_thread(step, dsn)
    except (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError) as error:
        raise StorageUnavailableError(f"the database cannot be reached: {error.orig}") from error
