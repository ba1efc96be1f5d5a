"""SIGTERM: what is held is finished, nothing new is taken, the exit code is 0, and nothing is lost."""

import pytest

from stageline_cli.exit_codes import ExitCode
from stageline_sdk import SyncClient
from tests.acceptance.ledger import STAGES, TOTAL, Ledger
from tests.support.invariants import violations
from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(180)

WORKER = "tests.acceptance.workflows:worker"


def test_a_worker_finishes_what_it_holds(patient_stack: Stack, ledger: Ledger) -> None:
    server = patient_stack.dev()
    leaver = patient_stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        run = client.create_run("counted", ledger.order(held=["first"]))
        ledger.wait_for("first", 1)
        leaver.signal_end()
        later = client.create_run("counted", ledger.order())
        ledger.open_gate()
        assert leaver.wait() == ExitCode.OK
        stayer = patient_stack.worker(WORKER, server)
        assert [client.wait_for_run(each.id).output for each in (run, later)] == [TOTAL, TOTAL]
    by = {(each.run_id, each.stage_id): each.pid for each in ledger.executions()}
    assert len(by) == len(ledger.executions()) == 2 * len(STAGES), "nothing was executed twice"
    assert by[run.id, "first"] == leaver.pid
    assert by[later.id, "last"] == stayer.pid
    assert violations(server.dsn) == {}


def test_a_server_lets_its_workers_finish(patient_stack: Stack, ledger: Ledger) -> None:
    server = patient_stack.dev()
    worker = patient_stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        ids = [client.create_run("counted", ledger.order(held=["left"])).id for _ in range(4)]
        ledger.wait_for("left", 4)
        server.process.signal_end()
        ledger.open_gate()
        assert server.process.wait() == ExitCode.OK
        assert "Traceback" not in server.process.log()

        server = patient_stack.dev(port=server.port)
        assert [client.wait_for_run(run_id).output for run_id in ids] == [TOTAL] * 4
    worker.check_running()
    assert ledger.counts() == {(run_id, stage_id): 1 for run_id in ids for stage_id in STAGES}
    assert violations(server.dsn) == {}


def test_an_idle_pair_ends_without_a_word_of_alarm(stack: Stack) -> None:
    server = stack.dev()
    worker = stack.worker(WORKER, server)
    assert worker.terminate() == ExitCode.OK
    assert server.process.terminate() == ExitCode.OK
    for process in (worker, server.process):
        assert "Traceback" not in process.log()
        assert "ERROR" not in process.log()
