"""The development server: its own PostgreSQL in a folder, migrated and served."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from stageline_server.app import check_free
from stageline_server.auth.policy import SecurityError, is_loopback, security_of
from stageline_server.embedded import EmbeddedPostgres
from stageline_server.plugins import sinks_of
from stageline_server.schema import migrate
from stageline_server.serving import Ready, serve, stop_request
from stageline_server.settings import Settings
from stageline_server.stores import postgres_ports

DATABASE_FOLDER = "postgres"


async def serve_development(settings: Settings, ready: Ready) -> None:
    """Starts the database, migrates it, serves on it until told to end, and stops it.

    Args:
        settings: With the ``data_dir`` to use; ``database_url`` is not looked at.
        ready: Called with the address when the server serves.

    Raises:
        EmbeddedPostgresError: The database did not come up.
        ListenError: The address cannot be listened on.
        PluginError: A plugin cannot be found, or breaks a rule.
        SecurityError: Other machines could reach it, or a file of its certificate cannot be read.
    """
    require_loopback(settings.listen)
    security_of(settings)
    sinks = sinks_of(settings)
    with stop_request() as stop:
        check_free(settings.listen)
        keep_out_of_version_control(settings.data_dir)
        async with supervised_database(settings.data_dir / DATABASE_FOLDER) as dsn:
            await migrate(dsn)
            async with postgres_ports(settings, dsn, sinks) as ports:
                await serve(settings, ports, ready, stop)


@asynccontextmanager
async def supervised_database(folder: Path) -> AsyncIterator[str]:
    """Runs the embedded database for the length of the block, and starts it again when it dies."""
    async with EmbeddedPostgres(folder) as database:
        keeper = asyncio.create_task(database.supervise(), name="keep the database up")
        try:
            yield database.dsn
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)


def require_loopback(listen: str) -> None:
    """Makes sure that only this machine reaches a development server, which asks nobody who calls.

    Raises:
        SecurityError: Others do.
    """
    if not is_loopback(listen):
        raise SecurityError(
            f"`stageline dev` listens on this machine only, and {listen} can be reached from others. "
            "`stageline server` serves others, with TLS and tokens."
        )


def keep_out_of_version_control(folder: Path) -> None:
    """Makes the data folder, with a note to git that nothing in it is source. The database tells what cannot be made."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        note = folder / ".gitignore"
        if not note.exists():
            note.write_text("*\n", encoding="utf-8")
