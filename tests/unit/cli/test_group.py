"""The command's front door: quick help, honest refusals, one list of exit codes."""

import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from stageline_cli.exit_codes import ExitCode
from stageline_cli.failures import CommandError, needs_server_extra
from stageline_cli.group import LAZY_COMMANDS, stageline
from stageline_cli.lazy import LazyCommand, LazyGroup

HELP_IMPORTS = """
import sys
from stageline_cli.group import stageline
try:
    stageline(["--help"], prog_name="stageline")
except SystemExit as end:
    assert end.code == 0
print(sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
MISSING_CLICK = """
import sys
sys.modules["click"] = None
from stageline_cli.main import main
main()
"""


def run_python(source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    done = run_python(HELP_IMPORTS)
    assert done.returncode == 0
    assert all(re.search(rf"^  {name} ", done.stdout, re.MULTILINE) for name in LAZY_COMMANDS)
    for heavy in ("grpc", "sqlalchemy", "pydantic", "psycopg", "stageline_sdk", "stageline_server", "rich"):
        assert f"'{heavy}'" not in done.stderr


def test_without_click_the_extra_is_named() -> None:
    done = run_python(MISSING_CLICK)
    assert done.returncode == ExitCode.USAGE
    assert "pip install 'stageline[cli]'" in done.stderr


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(stageline, ["fly"])
    assert result.exit_code == ExitCode.USAGE
    assert "No such command 'fly'" in result.output


def test_help_tells_every_exit_code() -> None:
    told = CliRunner().invoke(stageline, ["--help"]).output
    assert {int(number) for number in re.findall(r"(?<![\w.])(\d+) [a-z]", told)} >= {
        int(c) for c in ExitCode
    }


def test_a_missing_server_library_names_the_extra() -> None:
    with pytest.raises(CommandError) as refused, needs_server_extra("dev"):
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
    assert "pip install 'stageline[server]'" in refused.value.message
    assert refused.value.exit_code == ExitCode.USAGE


def test_another_missing_module_is_no_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError), needs_server_extra("dev"):
        raise ModuleNotFoundError("No module named 'my_workflow'", name="my_workflow")


def test_a_target_that_is_no_command_is_a_bug_that_is_told() -> None:
    group = LazyGroup(name="x", commands_by_name={"json": LazyCommand("json:dumps", "")})
    with pytest.raises(TypeError, match="json:dumps is no click command"):
        group.get_command(click.Context(group), "json")
