"""`server`, `dev` and `migrate`: what they say when they cannot begin. Nothing is started here."""

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stageline_cli.commands.dev import welcome
from stageline_cli.exit_codes import ExitCode
from stageline_cli.group import LAZY_COMMANDS, stageline
from stageline_cli.serving import forget_ready_file, write_ready_file


def invoke(monkeypatch: pytest.MonkeyPatch, *arguments: str, **environment: str) -> Result:
    monkeypatch.delenv("STAGELINE_DATABASE_URL", raising=False)
    return CliRunner().invoke(stageline, arguments, env=environment)


@pytest.fixture(autouse=True)
def _same_logging_afterwards() -> Iterator[None]:
    """The commands set up the log of their process, and this process is pytest's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    root.handlers, root.level = handlers, level


@pytest.mark.parametrize("command", ["server", "migrate"])
def test_without_a_database_they_say_how_to_name_one(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    result = invoke(monkeypatch, command)
    assert result.exit_code == ExitCode.USAGE
    assert "needs STAGELINE_DATABASE_URL" in result.output
    assert "stageline dev" in result.output


@pytest.mark.parametrize("command", ["server", "migrate", "dev"])
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    result = invoke(monkeypatch, command, STAGELINE_COMMITTERS="none")
    assert result.exit_code == ExitCode.USAGE
    assert "STAGELINE_COMMITTERS" in result.output


@pytest.mark.parametrize("command", ["server", "migrate"])
def test_a_database_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"postgresql://me:hunter2@127.0.0.1:{port}/x"
    result = invoke(monkeypatch, command, STAGELINE_DATABASE_URL=url)
    assert result.exit_code == ExitCode.START_FAILED
    assert "the database cannot be reached" in result.output
    assert "hunter2" not in result.output


def test_a_taken_port_is_told_before_a_database_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = invoke(monkeypatch, "dev", "--port", port, "--data-dir", str(tmp_path / "data"))
    assert result.exit_code == ExitCode.START_FAILED
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in result.output
    assert "--port 0" in result.output
    assert not (tmp_path / "data").exists()


def test_a_ready_file_is_whole_and_an_old_one_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    forget_ready_file(file)
    write_ready_file(file, "127.0.0.1:1")
    assert json.loads(file.read_text())["address"] == "127.0.0.1:1"
    assert list(tmp_path.iterdir()) == [file]
    forget_ready_file(file)
    forget_ready_file(None)
    assert list(tmp_path.iterdir()) == []


def test_the_next_command_names_the_address_only_where_it_must(tmp_path: Path) -> None:
    assert "stageline worker examples." in welcome("127.0.0.1:7460", tmp_path)
    assert "stageline worker --address 127.0.0.1:9 examples." in welcome("127.0.0.1:9", tmp_path)


@pytest.mark.parametrize("name", LAZY_COMMANDS)
def test_every_command_has_help_that_begins_with_its_summary(name: str) -> None:
    result = CliRunner().invoke(stageline, [name, "--help"])
    assert result.exit_code == ExitCode.OK
    assert LAZY_COMMANDS[name].summary in " ".join(result.output.split())
