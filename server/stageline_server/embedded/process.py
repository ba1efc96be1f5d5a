"""One PostgreSQL process: start, wait until it takes connections, stop. Blocking; knows no recovery."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from stageline_server.embedded.accounts import Account
from stageline_server.embedded.binaries import Binaries, program_environment
from stageline_server.embedded.cluster import data_argument
from stageline_server.embedded.errors import PostgresStartError
from stageline_server.embedded.postmaster import read_postmaster_file
from stageline_server.embedded.sockets import PORT

# Durable like production: what was committed survives a power cut. Given at each start, above any file.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",  # the socket only
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "stageline",
    "jit": "off",  # our statements are short; compiling them would cost more than they do
}
POLL_INTERVAL = timedelta(milliseconds=10)
# SIGINT ends transactions and writes a checkpoint; SIGQUIT leaves recovery to the next start.
STOP_ESCALATION = ((signal.SIGINT, timedelta(seconds=30)), (signal.SIGQUIT, timedelta(seconds=5)))
LOG_BYTES_MAX = 8 * 1024 * 1024
LOG_TAIL_BYTES = 4096


class PostgresProcess:
    """A PostgreSQL that this process started, on a folder that exists and that nobody else uses."""

    def __init__(
        self,
        cluster: Path,
        binaries: Binaries,
        account: Account,
        *,
        socket_dir: Path,
        log_file: Path,
        inherit: int,
        settings: Mapping[str, str],
    ) -> None:
        """Starts it.

        Args:
            cluster: The folder with PostgreSQL's files.
            binaries: The programs.
            account: The account to run it as.
            socket_dir: Where its socket goes.
            log_file: What it says is appended there.
            inherit: A descriptor that it and all its children keep open.
            settings: Settings beside, or instead of, `SETTINGS`.
        """
        self._cluster = cluster
        self._log_file = log_file
        _rotate(log_file)
        log_file.touch(mode=0o600)  # statements that fail are in it, with their values
        command = [str(binaries.postgres), "-D", data_argument(cluster, account)]
        for name, value in {**SETTINGS, **settings, "unix_socket_directories": str(socket_dir)}.items():
            command += ["-c", f"{name}={value}"]
        with log_file.open("ab") as log:
            self._popen = subprocess.Popen(
                command, cwd=cluster, env=program_environment(os.environ), pass_fds=[inherit],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                # Ctrl-C in a terminal goes to its whole group; the server is to drain before its database goes.
                start_new_session=True,
                **account.switch(),
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """The main process."""
        return self._popen.pid

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._popen.poll()

    def wait_ready(self, limit: timedelta) -> None:
        """Waits until it takes connections; after a crash that includes the recovery.

        Raises:
            PostgresStartError: It ended, or was not ready within the limit (it is stopped then).
        """
        deadline = time.monotonic() + limit.total_seconds()
        while True:
            note = read_postmaster_file(self._cluster)
            if note and note.pid == self.pid and note.is_ready:
                return
            if (code := self.poll()) is not None:
                raise PostgresStartError(f"PostgreSQL ended at its start with code {code}", self.log_tail())
            if time.monotonic() > deadline:
                self.stop()
                raise PostgresStartError(f"PostgreSQL was not ready within {limit}", self.log_tail())
            time.sleep(POLL_INTERVAL.total_seconds())

    def stop(self) -> None:
        """Stops it, the gentler ways first, and waits for its end. Does nothing if it has ended."""
        for number, patience in STOP_ESCALATION:
            self._popen.send_signal(number)
            try:
                self._popen.wait(patience.total_seconds())
            except subprocess.TimeoutExpired:
                continue
            return
        self._popen.kill()
        self._popen.wait()

    def log_tail(self) -> str:
        """The last lines of the log."""
        try:
            with self._log_file.open("rb") as log:
                log.seek(max(0, self._log_file.stat().st_size - LOG_TAIL_BYTES))
                return log.read().decode(errors="replace").strip()
        except OSError:
            return ""


def _rotate(log_file: Path) -> None:
    """Keeps the log and the one before it, each of about 8 MiB at most at a start."""
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES_MAX:
        log_file.replace(log_file.with_suffix(".log.1"))
