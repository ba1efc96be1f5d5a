"""Real processes for these tests: what runs, as whom, and a server that can be killed."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from stageline_server.embedded.accounts import Account
from stageline_server.embedded.instance import DATABASE, Instance, new_instance

SERVER_PROCESS = Path(__file__).with_name("server_process.py")


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    """The living children, of whatever kind."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if parent_of(int(folder.name)) == pid:
                found.append(int(folder.name))
    return found


def answers(dsn: str) -> bool:
    """Whether the database takes a connection and answers."""
    try:
        return bool(query(dsn, "SELECT 1") == 1)
    except psycopg.OperationalError:
        return False


def first(instance: Instance, statement: str) -> Any:
    """`query` on the database of an instance."""
    return query(instance.dsn(DATABASE), statement)


def pid_of(instance: Instance) -> int:
    """The main process of an instance."""
    assert instance.process is not None
    return instance.process.pid


def query(dsn: str, statement: str) -> Any:
    """Run one statement in its own transaction; the first value of the first row, if it gives rows."""
    with psycopg.connect(dsn, connect_timeout=5) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


@contextlib.contextmanager
def running(data_dir: Path, **options: Any) -> Iterator[Instance]:
    """A database of this process in its blocking form, for the length of a block."""
    instance = new_instance(data_dir, **options)
    instance.start()
    try:
        yield instance
    finally:
        instance.stop()


@dataclass
class ServerProcess:
    """A process that holds an embedded database."""

    popen: subprocess.Popen[str]
    dsn: str
    postgres_pid: int

    def kill(self) -> None:
        """End it as a crash would."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def close(self) -> None:
        """End it as its user would, and wait."""
        assert self.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()
        self.popen.wait()


@contextlib.contextmanager
def server_process(data_dir: Path, account: Account | None = None) -> Iterator[ServerProcess]:
    """Start such a process, as another account if told, and end it with the test."""
    numbers = [str(account.uid), str(account.gid)] if account else []
    with subprocess.Popen(
        [sys.executable, str(SERVER_PROCESS), str(data_dir), *numbers],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    ) as popen:
        assert popen.stdout is not None
        line = popen.stdout.readline()
        assert line, "the server process ended at its start"
        server = ServerProcess(popen, **json.loads(line))
        try:
            yield server
        finally:
            server.close()
