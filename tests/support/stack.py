"""A Stageline of real processes: the dev server with its database, and workers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import quote

import psycopg

from stageline_server.embedded.cluster import SUPERUSER
from stageline_server.embedded.instance import DATABASE
from stageline_server.embedded.postmaster import PostmasterFile, read_postmaster_file
from stageline_server.embedded.sockets import PORT
from tests.support.processes import READY_WITHIN, Process, Processes
from tests.waiting import eventually_sync


@dataclass
class DevServer:
    """A `stageline dev` that answers.

    Attributes:
        process: The server's process.
        data_dir: Its folder.
        address: Where it listens, as `host:port`.
    """

    process: Process
    data_dir: Path
    address: str

    @property
    def port(self) -> str:
        """The port that it listens on."""
        return self.address.rpartition(":")[2]

    @property
    def postmaster(self) -> PostmasterFile:
        """The database's own note of its main process, once it takes connections."""

        def ready() -> PostmasterFile | None:
            note = read_postmaster_file(self.data_dir / "postgres" / "cluster")
            return note if note and note.is_ready else None

        return eventually_sync(ready, what="a database that takes connections", within=READY_WITHIN)  # type: ignore[return-value]

    @property
    def dsn(self) -> str:
        """The database, for a look past the server."""
        folder = quote(str(self.postmaster.socket_dir), safe="")
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={folder}&port={PORT}"

    def query(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        """Asks the database, past the server."""
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(statement).fetchall()

    def count_sessions(self) -> int:
        """How many sessions workers have opened so far, ended ones included."""
        return int(self.query("SELECT count(*) FROM sessions")[0][0])

    def wait_for_sessions(self, count: int, *, of: Process | None = None) -> None:
        """Returns once workers have opened so many; ends early when the worker in question has ended."""

        def opened() -> bool:
            if of is not None:
                of.check_running()
            return self.count_sessions() >= count

        eventually_sync(opened, what=f"session number {count}", within=READY_WITHIN)


@dataclass
class Stack:
    """Starts servers and workers, and ends them.

    Attributes:
        processes: Where they are started.
        folder: Where data folders and ready files go.
        environment: Variables of every process.
        server_command: What starts a server instead of the plain `stageline`: a program's path and its arguments.
    """

    processes: Processes
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    server_command: Sequence[str] = ()

    def dev(self, *, port: str = "0", data_dir: Path | None = None) -> DevServer:
        """Starts a dev server and waits until it answers.

        Args:
            port: A port that is free; 0 for any.
            data_dir: Its folder. By default the same one each time.
        """
        data_dir = data_dir or self.folder / "data"
        ready_file = self.folder / "ready.json"
        ready_file.unlink(missing_ok=True)
        command = (
            *self.server_command,
            "dev",
            "--port",
            port,
            "--data-dir",
            str(data_dir),
            "--ready-file",
            str(ready_file),
        )
        process = self.processes.start("server", *command, environment=self.environment)
        ready = json.loads(process.wait_for_file(ready_file))
        return DevServer(process, data_dir, ready["address"])

    def worker(self, target: str, server: DevServer, *arguments: str) -> Process:
        """Starts a worker and waits until the server knows it.

        Args:
            target: Its `module:attribute`.
            server: Whose jobs it takes.
            arguments: More arguments of `stageline worker`.
        """
        sessions = server.count_sessions()
        process = self.processes.start(
            "worker", "worker", target, "--address", server.address, *arguments, environment=self.environment
        )
        server.wait_for_sessions(sessions + 1, of=process)
        return process
