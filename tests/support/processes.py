"""Real processes for tests and benchmarks: started here, killed by their number, their words kept in files.

A process gets its own session, so that a Ctrl-C in a terminal, or a signal to a group, reaches only what the test
meant. What it says goes to one file; `tests/acceptance/conftest.py` shows those files when a test fails.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tests.waiting import eventually_sync

REPOSITORY = Path(__file__).parents[2]
# The command as users have it, next to the interpreter that runs the tests.
STAGELINE = str(Path(sys.executable).with_name("stageline"))
# The longest that a process may take to end once it was told to; only a hung one reaches it.
END_WITHIN = timedelta(seconds=60)
# Likewise the longest that one may take to be ready, on a machine with much else to do.
READY_WITHIN = timedelta(seconds=60)


class ProcessEndedError(AssertionError):
    """A process ended while a test counted on it."""


class Process:
    """A process that this one started, and what it says."""

    def __init__(
        self, name: str, command: Sequence[str], *, log_file: Path, environment: Mapping[str, str]
    ) -> None:
        """Starts it, in the repository's folder and with nothing to read.

        Args:
            name: What to call it in messages.
            command: Program and arguments.
            log_file: Where its standard output and error are appended.
            environment: The variables that it has beside, or instead of, those of this process.
        """
        self.name = name
        self.command = list(command)
        self.log_file = log_file
        with log_file.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command,
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs, else its code; negative where a signal ended it."""
        return self._popen.poll()

    def log(self) -> str:
        """What it has said so far."""
        return self.log_file.read_text(errors="replace")

    def check_running(self) -> None:
        """Ends a wait that has become pointless.

        Raises:
            ProcessEndedError: It has ended; the message holds its last words.
        """
        if (code := self.exit_code) is not None:
            raise ProcessEndedError(f"{self.name} ended with code {code}; it said:\n{self.log()[-4000:]}")

    def wait_for_file(self, path: Path, within: timedelta = READY_WITHIN) -> str:
        """Returns the text of a file that it writes, once there is any."""

        def written() -> str:
            self.check_running()
            with contextlib.suppress(FileNotFoundError):
                return path.read_text()
            return ""

        return eventually_sync(written, what=f"{path.name}, written by {self.name},", within=within)

    def wait_for_log(self, text: str, within: timedelta = READY_WITHIN) -> None:
        """Returns once it has said something."""

        def said() -> bool:
            if text in self.log():
                return True
            self.check_running()
            return False

        eventually_sync(said, what=f"{text!r} in the log of {self.name}", within=within)

    def wait(self, within: timedelta = END_WITHIN) -> int:
        """Waits for its end and returns its exit code."""
        return self._popen.wait(within.total_seconds())

    def signal_end(self) -> None:
        """Asks it to end, with SIGTERM, and returns at once."""
        self._popen.terminate()

    def terminate(self, within: timedelta = END_WITHIN) -> int:
        """Ends it as an operator would, with SIGTERM, and returns its exit code."""
        self.signal_end()
        return self.wait(within)

    def kill(self) -> None:
        """Ends it as a crash would, with SIGKILL, which it cannot notice."""
        self._popen.kill()
        self.wait()

    def end(self) -> None:
        """Ends it for certain: SIGTERM, then SIGKILL where that was not enough. Does nothing if it has ended."""
        if self.exit_code is None:
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.kill()


@dataclass(frozen=True)
class Finished:
    """A command that ran to its end.

    Attributes:
        exit_code: Negative where a signal ended it.
        output: Its standard output.
        errors: Its standard error.
    """

    exit_code: int
    output: str
    errors: str


class Processes:
    """The processes of one test, and the folder of their logs."""

    def __init__(self, folder: Path) -> None:
        """Starts nothing yet.

        Args:
            folder: Where the logs go; made if missing.
        """
        self._folder = folder
        self._log_count = 0
        self.started: list[Process] = []

    def start(self, name: str, *command: str, environment: Mapping[str, str] | None = None) -> Process:
        """Starts a process of `stageline`, or of another program where the command begins with a path.

        Args:
            name: What to call it, and its log.
            command: Arguments of `stageline`; or an absolute path and its arguments.
            environment: Variables beside, or instead of, those of this process.
        """
        process = Process(name, _full(command), log_file=self._next_log(name), environment=environment or {})
        self.started.append(process)
        return process

    def run(self, name: str, *command: str, environment: Mapping[str, str] | None = None) -> Finished:
        """Runs a command to its end; the arguments are those of `start`."""
        done = subprocess.run(
            _full(command),
            cwd=REPOSITORY,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=END_WITHIN.total_seconds(),
            check=False,
        )
        self._next_log(name).write_text(f"{done.stdout}{done.stderr}[exit code {done.returncode}]\n")
        return Finished(done.returncode, done.stdout, done.stderr)

    def end(self) -> None:
        """Ends what still runs, the youngest first: workers before their server."""
        for process in reversed(self.started):
            process.end()

    def logs(self) -> Iterator[tuple[str, str]]:
        """Yields the name and the text of every log."""
        for path in sorted(self._folder.glob("*.log")):
            yield path.stem, path.read_text(errors="replace")

    def _next_log(self, name: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log_count += 1
        return self._folder / f"{self._log_count:02d}-{name}.log"


def _full(command: Sequence[str]) -> list[str]:
    return list(command) if Path(command[0]).is_absolute() else [STAGELINE, *command]


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Holds a process with SIGSTOP for the length of a block: alive, and deaf."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
