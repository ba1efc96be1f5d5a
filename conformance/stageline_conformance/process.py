"""The worker under test: a child process of the suite."""

import asyncio
import os
import shlex
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from stageline_conformance.violations import ViolationError, WorkerGoneError, WorkerNotStartedError

ADDRESS_VARIABLE = "STAGELINE_ADDRESS"
"""The environment variable that tells the worker where the server is."""

_LOG_CHARACTERS_SHOWN = 2000
_END_WITHIN = timedelta(seconds=15)


class WorkerProcess:
    """The process. What it prints goes to a file."""

    def __init__(self, process: asyncio.subprocess.Process, log_file: Path) -> None:
        self._process = process
        self._log_file = log_file

    @classmethod
    async def start(cls, command: str, address: str, log_file: Path) -> "WorkerProcess":
        """Start a worker.

        Args:
            command: Program and arguments, quoted as for a shell. No shell is started.
            address: Where its server is.
            log_file: Where its words go, appended.

        Raises:
            WorkerNotStartedError: There is no such program, or the command is malformed.
        """
        with log_file.open("ab") as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    *shlex.split(command),
                    env={**os.environ, ADDRESS_VARIABLE: address},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except (OSError, ValueError, TypeError) as error:
                raise WorkerNotStartedError(str(error)) from error
        return cls(process, log_file)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative where a signal ended it."""
        return self._process.returncode

    def check_running(self) -> None:
        """Go on while it runs.

        Raises:
            WorkerGoneError: It has ended.
        """
        if self.exit_code is not None:
            raise WorkerGoneError(
                f"the worker ended with code {self.exit_code}; it said:\n{self.last_words()}"
            )

    def last_words(self) -> str:
        """Return the end of what it has said."""
        return self._log_file.read_text(errors="replace")[-_LOG_CHARACTERS_SHOWN:]

    def terminate(self) -> None:
        """Tell it to end in peace (SIGTERM)."""
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Wait until it has ended; return its exit code.

        Raises:
            ViolationError: It goes on.
        """
        try:
            async with asyncio.timeout(_END_WITHIN.total_seconds()):
                return await self._process.wait()
        except TimeoutError:
            raise ViolationError(
                f"the worker's process did not end within {_END_WITHIN.total_seconds():g} s"
            ) from None

    async def ended_at_all(self) -> None:
        """Wait until it has ended, however long it takes."""
        await self._process.wait()

    async def kill(self) -> None:
        """End it and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()


async def wait_until(is_so: Callable[[], bool], what: str, within: timedelta) -> None:
    """Wait until something outside of this process is so, looking a hundred times a second.

    Raises:
        ViolationError: It was not so in time.
    """
    try:
        async with asyncio.timeout(within.total_seconds()):
            while not is_so():  # noqa: ASYNC110 - what is waited for is in another process
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise ViolationError(f"{what} did not happen within {within.total_seconds():g} s") from None
