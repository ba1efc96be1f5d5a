"""A PostgreSQL for the tests, and databases in it that no two tests share.

`STAGELINE_TEST_DATABASE_URL` names a server that exists: any of version 14 or later, as a user who may make
databases. Without it each test process starts the embedded one in a temporary folder.
"""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from stageline_server.embedded.instance import new_instance

URL_VARIABLE = "STAGELINE_TEST_DATABASE_URL"
# The data is thrown away; what depends on durability starts its own database.
THROW_AWAY = {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}

Prepare = Callable[[str], None]


class DatabaseServer:
    """A running PostgreSQL that hands out databases."""

    def __init__(self, url: str) -> None:
        """Describes it.

        Args:
            url: The URL of one of its databases, of a user who may make others.
        """
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._templates: dict[Prepare, str] = {}

    def create_database(self, prepare: Prepare | None = None) -> str:
        """Makes a database and returns its URL.

        Args:
            prepare: Given a URL, makes a database what the test needs (migrations, say). It runs once per
                test process, on a template that later databases are copied from, and must close its
                connections. None for an empty database.
        """
        if prepare is None:
            return self._create()
        if prepare not in self._templates:
            url = self._create()
            prepare(url)
            self._templates[prepare] = _name_in(url)
        return self._create(template=self._templates[prepare])

    def drop_database(self, url: str) -> None:
        """Drops a database, whoever is still connected to it."""
        self._execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(_name_in(url)))
        )

    def drop_templates(self) -> None:
        """Drops what the copies were made from."""
        while self._templates:
            _, name = self._templates.popitem()
            self.drop_database(self._url_of(name))

    def _create(self, template: str = "template0") -> str:
        name = f"stageline_test_{os.getpid()}_{uuid.uuid4().hex[:12]}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self._url_of(name)

    def _url_of(self, name: str) -> str:
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement)


@contextlib.contextmanager
def database_server() -> Iterator[DatabaseServer]:
    """Gives the server of the environment, or an embedded one for the length of the block."""
    with server_url() as url:
        server = DatabaseServer(url)
        try:
            yield server
        finally:
            server.drop_templates()


@contextlib.contextmanager
def server_url() -> Iterator[str]:
    """Gives the URL of that server."""
    if url := os.environ.get(URL_VARIABLE):
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="stageline-test-"))
    instance = new_instance(folder, settings=THROW_AWAY)
    try:
        yield instance.start()
    finally:
        instance.stop()
        shutil.rmtree(folder)


def _name_in(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
