"""Processes that the demo starts, and that it alone stops."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

# More than a server takes to drain (30 s by default) and to stop its database.
STOP_GRACE = timedelta(seconds=45)
LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 8192


class ChildEndedError(Exception):
    """A process ended that should not have; the message holds the end of its log."""


class Child:
    """A running process whose output goes to a log file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: BinaryIO) -> None:
        self.name = name
        self._log = log
        self._process = process

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has."""
        return self._process.returncode is not None

    async def watch(self) -> None:
        """Waits for its end, which is a failure.

        Raises:
            ChildEndedError: It ended.
        """
        code = await self._process.wait()
        raise ChildEndedError(f"the {self.name} ended with code {code}; its last words:\n{self.log_tail()}")

    async def stop(self, grace: timedelta = STOP_GRACE) -> None:
        """Asks it to end, insists after the grace, and waits until it is gone."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.has_ended:
                return
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace.total_seconds())

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        # Read in place: the process writes at the position of this same open file.
        begin = max(0, os.fstat(self._log.fileno()).st_size - LOG_TAIL_BYTES)
        lines = os.pread(self._log.fileno(), LOG_TAIL_BYTES, begin).decode(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:]) or "(nothing)"


@contextlib.asynccontextmanager
async def running(
    name: str, command: Sequence[str], *, log_file: Path, cwd: Path, environment: Mapping[str, str]
) -> AsyncIterator[Child]:
    """Runs a program for the length of a block.

    Args:
        name: What to call it in messages.
        command: The program and its arguments.
        log_file: Where its output goes; begun anew.
        cwd: Where it runs.
        environment: Variables beside this process's own.
    """
    with _new_log(log_file) as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the demo, which then stops the worker before the server.
            start_new_session=True,
        )
        child = Child(name, process, log)
        try:
            yield child
        finally:
            await child.stop()


def _new_log(log_file: Path) -> BinaryIO:
    """Opens a new file rather than emptying the old one, which another demo may still write to."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    log_file.unlink(missing_ok=True)
    return log_file.open("w+b")


def stageline(*arguments: str) -> list[str]:
    """The `stageline` command of this very environment, wherever PATH leads."""
    return [sys.executable, "-m", "stageline_cli.main", *arguments]
