"""How the end of a conversation with a server becomes an exit code."""

import click
import pytest

from stageline_cli.connecting import HINTS, Target, refusal, speak
from stageline_cli.exit_codes import ExitCode
from stageline_cli.failures import CommandError
from stageline_sdk import (
    ApiError,
    Client,
    ConfigError,
    FieldViolation,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)

TARGET = Target("127.0.0.1:1", "default")


def raising(error: BaseException) -> None:
    async def conversation(_client: Client) -> None:
        raise error

    speak(TARGET, conversation)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (UnavailableError("away"), ExitCode.UNREACHABLE),
        (NotFoundError("no such run", reason="RUN_NOT_FOUND"), ExitCode.REFUSED),
        (ConfigError("config.a.b: no", violations=[]), ExitCode.REFUSED),
    ],
)
def test_errors_become_exit_codes(error: Exception, exit_code: ExitCode) -> None:
    with pytest.raises(CommandError) as raised:
        raising(error)
    assert raised.value.exit_code == exit_code
    assert str(error).removeprefix("RUN_NOT_FOUND: ") in raised.value.message


def test_an_interruption_is_no_failed_run() -> None:
    with pytest.raises(click.exceptions.Exit) as raised:
        raising(KeyboardInterrupt())
    assert raised.value.exit_code == ExitCode.INTERRUPTED


def test_a_refusal_names_the_fields_and_what_to_do_next() -> None:
    violations = [FieldViolation("input.url", "is required")]
    error = InvalidArgumentError("it does not fit", reason="INVALID_INPUT", field_violations=violations)
    assert refusal(error).message.splitlines() == [
        "it does not fit",
        "  input.url: is required",
        HINTS["INVALID_INPUT"],
    ]


def test_a_refusal_that_is_not_known_is_told_as_it_is() -> None:
    assert refusal(ApiError("strange", reason="NEW_REASON")).message == "strange"


def test_a_conversation_returns_its_result() -> None:
    async def conversation(client: Client) -> str:
        return client.address

    assert speak(TARGET, conversation) == "127.0.0.1:1"
