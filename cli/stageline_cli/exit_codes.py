"""What the exit code of `stageline` means: the one list, which `docs/configuration.md` and every command go by."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    """It did what it was asked; a run that was waited for is COMPLETED."""

    RUN_FAILED = 1
    """The run that was waited for or watched is FAILED or CANCELLED, or a job of `worker --once` failed. All else worked."""

    USAGE = 2
    """A wrong argument or setting, or an extra that is not installed. Nothing was done."""

    UNREACHABLE = 3
    """The server cannot be reached, or it cannot reach its database. Try again."""

    REFUSED = 4
    """The server refused the request: not found, invalid, not allowed. Trying again does not help."""

    START_FAILED = 5
    """`server`, `dev` or `migrate` could not begin or go on: a port is taken, a database is away or not migrated."""

    WORKER_FAILED = 6
    """The worker ended otherwise than by a drain: its workflows were refused, or it gave up its session."""

    INTERRUPTED = 130
    """Somebody pressed Ctrl-C before the command was done, as shells number it."""
