"""`stageline worker --once` as real processes: what cron and functions start."""

import json
from dataclasses import replace

import pytest

from stageline_cli.exit_codes import ExitCode
from stageline_sdk import SyncClient
from tests.acceptance.ledger import TOTAL, Ledger
from tests.support.invariants import violations
from tests.support.stack import DevServer, Stack

pytestmark = pytest.mark.timeout(180)


def once(server: DevServer, *arguments: str) -> tuple[str, ...]:
    """The command line of a worker that lives for one call."""
    target = "tests.acceptance.workflows:worker"
    return ("worker", target, "--once", "--address", server.address, *arguments)


def test_a_run_is_done_by_calls_and_a_killed_ones_job_is_handed_on(stack: Stack, ledger: Ledger) -> None:
    stack = replace(stack, environment={**stack.environment, "STAGELINE_LEASE_DURATION": "2"})
    server = stack.dev()
    idle = stack.processes.run("worker", *once(server, "--json"))
    assert (idle.exit_code, json.loads(idle.output)) == (ExitCode.OK, {"counts": {}, "jobs": []})
    with SyncClient(server.address) as client:
        run = client.create_run("counted", ledger.order(held=["first"]))
        killed = stack.processes.start("worker", *once(server))
        ledger.wait_for("first", 1)
        killed.kill()
        ledger.open_gate()
        done = stack.processes.run("worker", *once(server, "--json", "--max-jobs", "20", "--wait", "60"))
        assert done.exit_code == ExitCode.OK, done.output
        assert json.loads(done.output)["jobs"][0]["stage_id"] == "first"
        assert client.wait_for_run(run.id).output == TOTAL
        failing = client.create_run("counted", ledger.order(failing=["first"]))
        failed = stack.processes.run("worker", *once(server, "--run", failing.id))
        assert failed.exit_code == ExitCode.RUN_FAILED
        assert f"{failing.id} first FAILED" in failed.output
    assert violations(server.dsn) == {}
