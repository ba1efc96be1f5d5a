"""What cannot start says so in a sentence, and ends with the documented code."""

import socket
from pathlib import Path

import pytest

from stageline_cli.exit_codes import ExitCode
from tests.support.processes import Finished, Processes
from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(180)

WORKER = "tests.acceptance.workflows:worker"


def assert_told(finished: Finished, exit_code: ExitCode, *words: str) -> None:
    """It ended with this code, and with a message for people that holds these words."""
    assert finished.exit_code == exit_code, finished.errors
    assert "Traceback" not in finished.errors
    for word in words:
        assert word in finished.errors


def test_a_taken_port_is_named(processes: Processes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        dev = processes.run("dev", "dev", "--port", port, "--data-dir", str(tmp_path / "data"))
    assert_told(dev, ExitCode.START_FAILED, f"127.0.0.1:{port}", "--port")


def test_a_data_folder_in_use_is_named(stack: Stack, processes: Processes) -> None:
    server = stack.dev()
    second = processes.run("second", "dev", "--port", "0", "--data-dir", str(server.data_dir))
    assert_told(second, ExitCode.START_FAILED, str(server.data_dir), str(server.process.pid))


def test_a_server_without_a_database_says_how_to_name_one(processes: Processes) -> None:
    finished = processes.run("server", "server", environment={"STAGELINE_DATABASE_URL": ""})
    assert_told(finished, ExitCode.USAGE, "STAGELINE_DATABASE_URL", "stageline dev")


def test_a_worker_that_names_no_module_is_refused(processes: Processes) -> None:
    finished = processes.run("worker", "worker", "tests.acceptance.no_such_module:worker")
    assert_told(finished, ExitCode.USAGE, "tests.acceptance.no_such_module")


def test_a_worker_that_names_no_attribute_is_refused(processes: Processes) -> None:
    finished = processes.run("worker", "worker", "tests.acceptance.workflows:no_such_name")
    assert_told(finished, ExitCode.USAGE, "no_such_name", "tests.acceptance.workflows")


def test_a_worker_that_names_something_else_is_refused(processes: Processes) -> None:
    finished = processes.run("worker", "worker", "tests.acceptance.workflows:not_a_worker")
    assert_told(finished, ExitCode.USAGE, "not_a_worker")


def test_a_run_on_a_server_that_is_away_names_the_address(processes: Processes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as once_taken:
        address = f"127.0.0.1:{once_taken.getsockname()[1]}"
    finished = processes.run("run", "run", "list", "--address", address)
    assert_told(finished, ExitCode.UNREACHABLE, address)
