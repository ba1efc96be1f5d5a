"""The embedded database as the server sees it: start, stop, and keep alive, without blocking the loop."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from stageline_engine.threads import finish_in_thread
from stageline_server.embedded.accounts import DEFAULT_ROOT_STAND_IN
from stageline_server.embedded.errors import EmbeddedPostgresError
from stageline_server.embedded.exits import wait_for_exit
from stageline_server.embedded.instance import DATABASE, new_instance

_logger = logging.getLogger("stageline.server.embedded")

BACKOFF_FIRST = timedelta(milliseconds=100)
BACKOFF_MAX = timedelta(seconds=5)
# A database that stayed up this long was healthy: its next end is the first of a new row.
HEALTHY_AFTER = timedelta(seconds=30)


class EmbeddedPostgres:
    """A real PostgreSQL in a data folder, as durable as production, for one server at a time.

    ```python
    async with EmbeddedPostgres(Path(".stageline/postgres")) as database:
        keeper = asyncio.create_task(database.supervise())
        ... psycopg.AsyncConnection.connect(database.dsn) ...
    ```

    It listens on a Unix socket in a private folder only. Its files live in `cluster/` under the data folder,
    its words in `postgres.log`. A folder left behind by a killed server, with or without its database
    still running, is taken over at the next start.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        start_limit: timedelta = timedelta(seconds=60),
        root_stand_in: str = DEFAULT_ROOT_STAND_IN,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Describes the database; nothing is touched before `start`.

        Args:
            data_dir: The folder, made if missing, reused if not.
            start_limit: How long PostgreSQL may take to become ready, recovery included.
            root_stand_in: The account that runs PostgreSQL in a new folder if this process is root's.
            settings: PostgreSQL settings beside, or instead of, the built-in ones; none by default.
        """
        self._instance = new_instance(data_dir, start_limit, root_stand_in, settings)
        self._turn = asyncio.Lock()
        self._dsn: str | None = None
        self._stopped = asyncio.Event()

    @property
    def data_dir(self) -> Path:
        """The data folder, as an absolute path."""
        return self._instance.data_dir

    @property
    def dsn(self) -> str:
        """The database's URL; the same from `start` to `stop`, also over restarts in between.

        Raises:
            EmbeddedPostgresError: It does not run.
        """
        if self._dsn is None:
            raise EmbeddedPostgresError("the embedded database is not started")
        return self._dsn

    @property
    def pid(self) -> int | None:
        """PostgreSQL's main process, or None if not started."""
        return self._instance.process.pid if self._instance.process else None

    async def start(self) -> str:
        """Starts PostgreSQL and returns the URL of the database `stageline`, which exists then.

        About a second the first time, a tenth later. If the caller is cancelled, what was begun is undone.

        Raises:
            DataFolderInUseError: A live server holds the folder.
            DataFolderVersionError: Another major version wrote the folder.
            DataFolderAccessError: The folder cannot be used by the account that must.
            BinariesNotFoundError: No PostgreSQL is installed.
            PostgresStartError: PostgreSQL did not come up; the message ends with its last words.
        """
        async with self._turn:
            if self._dsn is not None:
                return self._dsn
            self._stopped.clear()
            try:
                self._dsn = await finish_in_thread(self._instance.start)
            except asyncio.CancelledError:
                await finish_in_thread(self._instance.stop)
                raise
            return self._dsn

    async def stop(self) -> None:
        """Stops PostgreSQL with a checkpoint, and `supervise` with it. Does nothing if not started."""
        self._stopped.set()
        async with self._turn:
            self._dsn = None
            await finish_in_thread(self._instance.stop)

    async def supervise(self) -> None:
        """Restarts PostgreSQL whenever it ends by itself, at the same address; returns after `stop`.

        The first restart comes after 0.1 s, later ones in a row after twice as long each, up to 5 s.
        Failures to restart are logged and tried again for ever.
        """
        loop = asyncio.get_running_loop()
        backoff = BACKOFF_FIRST
        while not self._stopped.is_set() and self._instance.process is not None:
            began = loop.time()
            code = await wait_for_exit(self._instance.process)
            if self._stopped.is_set():
                return
            if loop.time() - began > HEALTHY_AFTER.total_seconds():
                backoff = BACKOFF_FIRST
            _logger.error(
                "the embedded database ended with code %d; it is started again in %s", code, backoff
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), backoff.total_seconds())
            backoff = min(backoff * 2, BACKOFF_MAX)
            await self._restart()

    async def _restart(self) -> None:
        async with self._turn:
            if self._dsn is None:
                return
            try:
                await finish_in_thread(self._instance.launch)
            except EmbeddedPostgresError:
                _logger.exception("the embedded database could not be started again")
            else:
                _logger.info("the embedded database runs again, pid %s, database %s", self.pid, DATABASE)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
