"""The scenarios' PostgreSQL: embedded, with a database for each scenario, and ended as outages end databases."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg

from stageline_migrations import upgrade
from stageline_server.embedded.instance import DATABASE, Instance, new_instance
from tests.support.postgres import DatabaseServer
from tests.support.processes import READY_WITHIN
from tests.waiting import eventually_sync


class Database:
    """One migrated database, for a look past the servers."""

    def __init__(self, dsn: str) -> None:
        """Takes its address."""
        self.dsn = dsn

    def query(self, statement: LiteralString, *arguments: Any) -> list[tuple[Any, ...]]:
        """Asks it.

        Raises:
            psycopg.OperationalError: It is away.
        """
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(statement, arguments).fetchall()

    def count(self, statement: LiteralString, *arguments: Any) -> int:
        """Asks it for a number; -1 while it is away."""
        try:
            return int(self.query(statement, *arguments)[0][0])
        except psycopg.OperationalError:
            return -1

    def open_runs(self) -> int:
        """Runs that have not ended; -1 while it is away."""
        return self.count("SELECT count(*) FROM runs WHERE state IN ('PENDING', 'RUNNING')")

    def count_sessions(self) -> int:
        """How many sessions workers have opened so far."""
        return self.count("SELECT count(*) FROM sessions")


class Cluster:
    """A running PostgreSQL."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        """Describes it.

        Args:
            folder: Its data folder.
            settings: PostgreSQL's own, over the defaults.
        """
        self._instance: Instance = new_instance(folder, settings=settings)
        self._server: DatabaseServer | None = None

    def start(self) -> None:
        """Starts it for the first time."""
        self._server = DatabaseServer(self._instance.start())

    def stop(self) -> None:
        """Ends it."""
        self._instance.stop()

    def new_database(self) -> Database:
        """Makes a database with the schema in it."""
        assert self._server is not None, "start() comes first"
        return Database(self._server.create_database(upgrade))

    def restart(self, *, crash: bool) -> None:
        """Ends it, by SIGKILL or as an operator would with `-m fast`, and starts it again."""
        process = self._instance.process
        assert process is not None
        if crash:
            os.kill(process.pid, signal.SIGKILL)
            eventually_sync(lambda: process.poll() is not None, what="its end", within=READY_WITHIN)
        else:
            process.stop()
        self._instance.launch()

    def terminate_backend(self, database: Database) -> int:
        """Ends one connection of somebody to a database, as a failover does; returns how many it was."""
        name = urlsplit(database.dsn).path.removeprefix("/")
        maintenance = urlunsplit(urlsplit(database.dsn)._replace(path=f"/{DATABASE}"))
        try:
            with psycopg.connect(maintenance, autocommit=True) as connection:
                found = connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                    " AND backend_type = 'client backend' ORDER BY random() LIMIT 1",
                    [name],
                ).fetchall()
        except psycopg.OperationalError:
            return 0
        return len(found)
