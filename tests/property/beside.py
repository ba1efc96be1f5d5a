"""PostgreSQL for histories side by side: each on a fresh, migrated database of the server that the environment names."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from multiprocessing.util import Finalize

from stageline_engine.adapters.postgres import PostgresDatabase
from stageline_engine.testing import Backend
from stageline_migrations import upgrade
from tests.integration.postgres.backends import backend_on
from tests.support.postgres import URL_VARIABLE, DatabaseServer

TRANSACTIONS_MAX = 4


@asynccontextmanager
async def on_postgres() -> AsyncIterator[Backend]:
    async with fresh_backend(_server()) as backend:
        yield backend


@asynccontextmanager
async def fresh_backend(server: DatabaseServer) -> AsyncIterator[Backend]:
    url = server.create_database(upgrade)
    try:
        async with PostgresDatabase(url, transactions_max=TRANSACTIONS_MAX) as database:
            yield backend_on(database)
    finally:
        server.drop_database(url)


@cache
def _server() -> DatabaseServer:
    """The server as this process uses it; what it made there goes with the process, or with ``release``."""
    server = DatabaseServer(os.environ[URL_VARIABLE])
    _releases.append(Finalize(None, server.drop_templates, exitpriority=1))
    return server


_releases: list[Finalize] = []


def release() -> None:
    """Takes away what this process has made on the server: call it before a server goes that this process has started."""
    for drop_templates in _releases:
        drop_templates()
