"""`stageline migrate` and `stageline server` as an operator runs them, on a PostgreSQL of one's own."""

import json
from pathlib import Path

import pytest

from stageline_cli.exit_codes import ExitCode
from stageline_sdk import SyncClient
from tests.acceptance.ledger import Ledger
from tests.support.fixtures import CreateDatabase
from tests.support.processes import Process, Processes, stopped

pytestmark = pytest.mark.timeout(180)

WORKER = "tests.acceptance.workflows:worker"


def start_server(
    processes: Processes, folder: Path, *options: str, **environment: str
) -> tuple[Process, str]:
    """Starts a server on any port; returns it, ready, with its address."""
    ready_file = folder / "ready.json"
    arguments = ("server", "--listen", "127.0.0.1:0", "--ready-file", str(ready_file), *options)
    process = processes.start("server", *arguments, environment=environment)
    told = json.loads(process.wait_for_file(ready_file))
    assert told["pid"] == process.pid
    return process, told["address"]


def test_a_database_is_migrated_then_served(
    processes: Processes, create_database: CreateDatabase, tmp_path: Path
) -> None:
    environment = {"STAGELINE_DATABASE_URL": create_database()}
    refused = processes.run("early", "server", "--listen", "127.0.0.1:0", environment=environment)
    assert refused.exit_code == ExitCode.START_FAILED
    assert "stageline migrate" in refused.errors
    assert (
        processes.run("check", "migrate", "--check", environment=environment).exit_code
        == ExitCode.START_FAILED
    )

    migrated = processes.run("migrate", "migrate", environment=environment)
    assert (migrated.exit_code, "it was at none" in migrated.output) == (ExitCode.OK, True)
    again = processes.run("again", "migrate", environment=environment)
    assert (again.exit_code, "up to date" in again.output) == (ExitCode.OK, True)
    assert processes.run("check", "migrate", "--check", environment=environment).exit_code == ExitCode.OK

    server, address = start_server(processes, tmp_path, **environment)
    with SyncClient(address) as client:
        assert list(client.list_workflows()) == []
    assert server.terminate() == ExitCode.OK
    assert "Traceback" not in server.log()


def test_a_server_may_migrate_first(
    processes: Processes, create_database: CreateDatabase, tmp_path: Path
) -> None:
    url = create_database()
    server, address = start_server(processes, tmp_path, "--migrate", STAGELINE_DATABASE_URL=url)
    with SyncClient(address) as client:
        assert list(client.list_workflows()) == []
    assert server.terminate() == ExitCode.OK


def test_a_second_signal_ends_a_drain_that_a_deaf_worker_holds_up(
    processes: Processes, tmp_path: Path, ledger: Ledger
) -> None:
    environment = {"STAGELINE_DRAIN_DEADLINE": "PT1H", "STAGELINE_SESSION_TIMEOUT": "120"}
    server, address = start_server(processes, tmp_path, "--store", "memory", **environment)
    worker = processes.start("worker", "worker", WORKER, "--address", address)
    worker.wait_for_log("connected")
    with SyncClient(address) as client:
        client.create_run("counted", ledger.order(held=["first"]))
        ledger.wait_for("first", 1)
    with stopped(worker.pid):
        server.signal_end()
        server.wait_for_log("draining")
        server.signal_end()
        assert server.wait() == ExitCode.INTERRUPTED
    worker.kill()  # it holds a report for a server whose memory is gone, and would not leave without it
