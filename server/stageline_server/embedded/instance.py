"""The embedded database in blocking form: locks, files and process put together."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from stageline_server.embedded.accounts import DEFAULT_ROOT_STAND_IN, Account, choose_account
from stageline_server.embedded.binaries import Binaries
from stageline_server.embedded.cluster import SUPERUSER, ensure_cluster
from stageline_server.embedded.errors import (
    DataFolderAccessError,
    DataFolderInUseError,
    EmbeddedPostgresError,
)
from stageline_server.embedded.locks import FileLock
from stageline_server.embedded.orphans import claim
from stageline_server.embedded.process import PostgresProcess
from stageline_server.embedded.relocation import runnable_binaries
from stageline_server.embedded.sockets import PORT, choose_socket_dir, remove_temporary_socket_dir

DATABASE = "stageline"


class Instance:
    """A PostgreSQL on a data folder. Not safe for concurrent calls; `EmbeddedPostgres` sees to that."""

    def __init__(
        self, data_dir: Path, *, start_limit: timedelta, root_stand_in: str, settings: Mapping[str, str]
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._cluster = self.data_dir / "cluster"
        self._server_lock = FileLock(self.data_dir / "server.lock")
        self._process_lock = FileLock(self.data_dir / "postgres.lock")
        self._start_limit = start_limit
        self._root_stand_in = root_stand_in
        self._settings = settings
        self._binaries: Binaries | None = None
        self._account: Account | None = None
        self._socket_dir: Path | None = None
        self.process: PostgresProcess | None = None

    def start(self) -> str:
        """Makes or reuses the folder, starts PostgreSQL, makes the database, and returns its DSN."""
        self._make_folder()
        if not self._server_lock.acquire():
            raise DataFolderInUseError(
                self.data_dir, self._server_lock.holder_pid(), "another Stageline server"
            )
        try:
            self._prepare()
            self.launch()
            dsn = self.dsn(DATABASE)
            self._ensure_database()
        except BaseException:
            self.stop()
            raise
        return dsn

    def launch(self) -> None:
        """Starts the process on a prepared folder; also after it died, at the same address."""
        assert self._binaries is not None, "start() comes first"
        assert self._account is not None
        assert self._socket_dir is not None
        claim(self.data_dir, self._cluster, self._process_lock, self._socket_dir)
        try:
            self.process = PostgresProcess(
                self._cluster,
                self._binaries,
                self._account,
                socket_dir=self._socket_dir,
                log_file=self.data_dir / "postgres.log",
                inherit=self._process_lock.descriptor,
                settings=self._settings,
            )
        finally:
            # The child's copy keeps the lock taken until the last of its processes is gone.
            self._process_lock.release()
        self.process.wait_ready(self._start_limit)

    def stop(self) -> None:
        """Stops PostgreSQL and frees the folder. Does nothing if it does not run."""
        if self.process is not None:
            self.process.stop()
            self.process = None
        if self._socket_dir is not None:
            remove_temporary_socket_dir(self._socket_dir)
            self._socket_dir = None
        self._server_lock.release()

    def dsn(self, database: str) -> str:
        """The address of one of its databases, as a URL that libpq, psycopg and SQLAlchemy take."""
        assert self._socket_dir is not None, "the database does not run"
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(str(self._socket_dir), safe='')}&port={PORT}"

    def _make_folder(self) -> None:
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataFolderAccessError(
                f"cannot make the data folder {self.data_dir}: {error.strerror}"
            ) from error
        if not os.access(self.data_dir, os.W_OK | os.X_OK):
            raise DataFolderAccessError(f"the data folder {self.data_dir} is not writable for you")

    def _take_folder(self) -> None:
        try:
            taken = self._server_lock.acquire()
        except OSError as error:
            raise DataFolderAccessError(
                f"cannot write in the data folder {self.data_dir}: {error}"
            ) from error
        if not taken:
            raise DataFolderInUseError(
                self.data_dir, self._server_lock.holder_pid(), "another Stageline server"
            )

    def _prepare(self) -> None:
        self._account = choose_account(self._cluster, self._root_stand_in)
        self._binaries = runnable_binaries(self._account, os.environ)
        ensure_cluster(self._cluster, self._binaries, self._account)
        self._socket_dir = choose_socket_dir(self.data_dir / "run", self._account)

    def _ensure_database(self) -> None:
        try:
            with psycopg.connect(self.dsn("postgres"), autocommit=True, connect_timeout=10) as connection:
                row = connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
                ).fetchone()
                if row is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except psycopg.Error as error:
            raise EmbeddedPostgresError(f"the embedded database refused to work: {error}") from error


def new_instance(
    data_dir: Path,
    start_limit: timedelta = timedelta(seconds=60),
    root_stand_in: str = DEFAULT_ROOT_STAND_IN,
    settings: Mapping[str, str] | None = None,
) -> Instance:
    """An instance with the defaults that `EmbeddedPostgres` documents."""
    return Instance(data_dir, start_limit=start_limit, root_stand_in=root_stand_in, settings=settings or {})
