"""The main job: a server, a worker, runs by the client and by the command line, and data that is kept."""

import json
from typing import Any

import pytest

from stageline_cli.exit_codes import ExitCode
from stageline_sdk import SyncClient
from tests.acceptance.ledger import STAGES, TOTAL, Ledger
from tests.support.invariants import violations
from tests.support.processes import Processes
from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(180)

WORKER = "tests.acceptance.workflows:worker"


def test_a_run_goes_through_by_the_client(stack: Stack, ledger: Ledger) -> None:
    server = stack.dev()
    stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        result = client.run_and_wait("counted", ledger.order())
    assert result.is_completed, result.error
    assert result.output == TOTAL
    assert ledger.counts() == {(result.run_id, stage_id): 1 for stage_id in STAGES}
    assert violations(server.dsn) == {}


def test_runs_go_through_by_the_command_line(stack: Stack, ledger: Ledger, processes: Processes) -> None:
    server = stack.dev()
    stack.worker(WORKER, server, "--concurrency", "3")

    def run(*arguments: str) -> tuple[int, Any]:
        finished = processes.run("run", "run", *arguments, "--json", "--address", server.address)
        return finished.exit_code, json.loads(finished.output) if finished.output else finished.errors

    code, completed = run("start", "counted", "--input", json.dumps(ledger.order()), "--wait")
    assert (code, completed["status"], completed["output"]) == (ExitCode.OK, "COMPLETED", TOTAL)

    code, failed = run("start", "counted", "--input", json.dumps(ledger.order(failing=["left"])), "--wait")
    assert (code, failed["status"]) == (ExitCode.RUN_FAILED, "FAILED")
    assert "told to fail" in failed["error"]["message"]

    assert run("get", completed["id"]) == (ExitCode.OK, completed)
    code, listed = run("list")
    assert (code, [each["id"] for each in listed]) == (ExitCode.OK, [failed["id"], completed["id"]])
    assert violations(server.dsn) == {}


def test_what_the_server_refuses_has_its_own_code(stack: Stack, processes: Processes) -> None:
    server = stack.dev()
    at = ("--address", server.address)
    unknown = processes.run("run", "run", "start", "no-such-workflow", *at)
    assert unknown.exit_code == ExitCode.REFUSED
    assert "no-such-workflow" in unknown.errors
    malformed = processes.run("run", "run", "start", "counted", "--input", "{oops", *at)
    assert malformed.exit_code == ExitCode.USAGE
    assert "--input" in malformed.errors


def test_a_second_start_on_the_folder_keeps_everything(stack: Stack, ledger: Ledger) -> None:
    first = stack.dev()
    worker = stack.worker(WORKER, first)
    with SyncClient(first.address) as client:
        before = client.run_and_wait("counted", ledger.order()).run
    assert first.process.terminate() == ExitCode.OK

    second = stack.dev(port=first.port)
    with SyncClient(second.address) as client:
        assert client.get_run(before.id) == before
        assert client.run_and_wait("counted", ledger.order()).output == TOTAL
    worker.check_running()
    assert violations(second.dsn) == {}


def test_many_runs_share_two_workers(stack: Stack, ledger: Ledger) -> None:
    server = stack.dev()
    workers = [stack.worker(WORKER, server, "--concurrency", "8") for _ in range(2)]
    with SyncClient(server.address) as client:
        ids = [client.create_run("counted", ledger.order(held=["first"])).id for _ in range(100)]
        ledger.wait_for("first", 16)  # every slot of both
        ledger.open_gate()
        assert {client.wait_for_run(run_id).status for run_id in ids} == {"COMPLETED"}
    assert ledger.counts() == {(run_id, stage_id): 1 for run_id in ids for stage_id in STAGES}
    assert {each.pid for each in ledger.executions()} == {worker.pid for worker in workers}
    assert violations(server.dsn) == {}
