"""What the commands that speak to a server share: their options, and how a refusal is told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import click

from stageline_cli.exit_codes import ExitCode
from stageline_cli.failures import CommandError
from stageline_sdk import ApiError, Client, ConfigError, UnavailableError

T = TypeVar("T")
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

# A person waits: long enough for a server that is just starting, short enough to be told that there is none.
RETRY_FOR = timedelta(seconds=3)

# What to do next, by the error's reason.
HINTS = {
    "WORKFLOW_NOT_FOUND": "Workers register their workflows: is one running? `stageline workflow list` shows what there is.",
    "WORKFLOW_VERSION_NOT_FOUND": "Leave the version out to mean the latest.",
    "RUN_NOT_FOUND": "`stageline run list` shows the runs of this namespace.",
    "INVALID_INPUT": "`stageline workflow show NAME` shows what input it takes.",
    "INVALID_CONFIG": "`stageline workflow show NAME` shows what config each stage takes.",
    "RUN_NOT_RERUNNABLE": "Only a run that is COMPLETED or FAILED can be rerun: `stageline run get RUN` shows where it stands.",
    "RESUME_TOKEN_INVALID": "A token works once, until it expires, and for its own stage only.",
    "STAGE_NOT_SUSPENDED": "`stageline run get RUN` shows where the stage stands.",
    "DEAD_LETTER_NOT_FOUND": "`stageline dlq list` shows those that there are.",
    "REQUEST_ID_REUSED": "Use another --request-id; the same one is for the same request only.",
    "UNAUTHENTICATED": "Set STAGELINE_TOKEN to a valid token: `stageline token create` makes one.",
    "PERMISSION_DENIED": "STAGELINE_NAMESPACE or --namespace names the token's own; `stageline token create` makes others.",
    "TOKEN_NOT_FOUND": "`stageline token list` shows those of this namespace.",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a command goes.

    Attributes:
        address: The server's; None for the SDK's default.
        namespace: The tenant.
    """

    address: str | None
    namespace: str

    def client(self) -> Client:
        """Returns a client.

        Raises:
            CommandError: The address is malformed.
        """
        try:
            return Client(self.address, namespace=self.namespace, retry_for=RETRY_FOR)
        except ValueError as error:
            raise CommandError(str(error), ExitCode.USAGE) from error


def target_options(command: AnyFunction) -> AnyFunction:
    """Adds --address and --namespace to a command, which gets them as `address` and `namespace`."""
    for option in (
        click.option(
            "--namespace",
            default="default",
            envvar="STAGELINE_NAMESPACE",
            help="The tenant to work in. [env: STAGELINE_NAMESPACE; default: default]",
        ),
        click.option(
            "--address", help="The server's host:port. [env: STAGELINE_ADDRESS; default: 127.0.0.1:7460]"
        ),
    ):
        command = option(command)
    return command


def speak(target: Target, conversation: Callable[[Client], Awaitable[T]]) -> T:
    """Runs a conversation with the server and returns its result.

    Args:
        target: Where the server is.
        conversation: Gets a client.

    Raises:
        CommandError: The server refused, or cannot be reached.
        click.exceptions.Exit: Somebody pressed Ctrl-C.
    """

    async def converse() -> T:
        async with target.client() as client:
            return await conversation(client)

    try:
        return asyncio.run(converse())
    except ApiError as error:
        raise refusal(error) from error
    except ConfigError as error:
        raise CommandError(str(error), ExitCode.REFUSED) from error
    except KeyboardInterrupt as interruption:  # click would exit with 1, which means that the run failed.
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from interruption


def refusal(error: ApiError) -> CommandError:
    """Returns the failure that tells a person of an error, with what to do next."""
    code = ExitCode.UNREACHABLE if isinstance(error, UnavailableError) else ExitCode.REFUSED
    lines = [error.message, *(f"  {violation}" for violation in error.field_violations)]
    if error.reason in HINTS:
        lines.append(HINTS[error.reason])
    return CommandError("\n".join(lines), code)
