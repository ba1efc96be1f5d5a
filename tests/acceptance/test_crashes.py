"""Worker, server and database killed in the middle of runs: all runs complete, and every output is committed once."""

import os
import signal
from collections.abc import Sequence

import pytest

from stageline_sdk import SyncClient
from tests.acceptance.ledger import STAGES, TOTAL, Ledger
from tests.support.invariants import violations
from tests.support.processes import READY_WITHIN, stopped
from tests.support.stack import DevServer, Stack
from tests.waiting import eventually_sync

pytestmark = pytest.mark.timeout(180)

WORKER = "tests.acceptance.workflows:worker"
RUNS = 6


def start_held(client: SyncClient, ledger: Ledger, stage_id: str, count: int = RUNS) -> list[str]:
    """Starts runs of which each waits in this stage for the gate, and returns when all of them do."""
    ids = [client.create_run("counted", ledger.order(held=[stage_id])).id for _ in range(count)]
    ledger.wait_for(stage_id, count)
    return ids


def assert_all_completed(client: SyncClient, server: DevServer, ids: Sequence[str]) -> None:
    """Waits for the runs; each completed with the right output, and the database holds nothing that must not be."""
    results = [client.wait_for_run(run_id) for run_id in ids]
    assert {(result.status, result.error) for result in results} == {("COMPLETED", None)}
    assert [result.output for result in results] == [TOTAL] * len(ids)
    assert violations(server.dsn) == {}
    assert server.query("SELECT count(*) FROM jobs") == [(0,)]
    assert server.query("SELECT count(*) FROM events WHERE type = 'stage:completed'") == [
        (len(ids) * len(STAGES),)
    ]


def test_a_killed_worker_is_replaced(stack: Stack, ledger: Ledger) -> None:
    server = stack.dev()
    doomed = stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        ids = start_held(client, ledger, "left")
        doomed.kill()
        heir = stack.worker(WORKER, server)
        ledger.wait_for("left", 2 * RUNS)
        ledger.open_gate()
        assert_all_completed(client, server, ids)
    taken_over = [each for each in ledger.executions() if each.stage_id == "left"]
    for run_id in ids:
        tries = [(each.pid, each.attempt, each.delivery) for each in taken_over if each.run_id == run_id]
        assert tries == [(doomed.pid, 1, 1), (heir.pid, 1, 2)], "a lost worker costs a delivery, no attempt"


def test_work_goes_on_while_a_killed_server_is_away(patient_stack: Stack, ledger: Ledger) -> None:
    server = patient_stack.dev()
    worker = patient_stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        ids = start_held(client, ledger, "left")
        server.process.kill()
        ledger.open_gate()
        server = patient_stack.dev(port=server.port)
        assert_all_completed(client, server, ids)
    worker.check_running()
    assert ledger.counts() == {(run_id, stage_id): 1 for run_id in ids for stage_id in STAGES}


def test_work_goes_on_while_a_killed_database_is_away(patient_stack: Stack, ledger: Ledger) -> None:
    server = patient_stack.dev()
    worker = patient_stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        ids = start_held(client, ledger, "left")
        kill_database(server)
        ledger.open_gate()
        assert_all_completed(client, server, ids)
    worker.check_running()
    server.process.check_running()
    assert ledger.counts() == {(run_id, stage_id): 1 for run_id in ids for stage_id in STAGES}


def test_server_and_database_killed_together_recover(patient_stack: Stack, ledger: Ledger) -> None:
    server = patient_stack.dev()
    patient_stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        ids = start_held(client, ledger, "left")
        os.kill(server.postmaster.pid, signal.SIGKILL)
        server.process.kill()
        ledger.open_gate()
        server = patient_stack.dev(port=server.port)
        assert_all_completed(client, server, ids)
    assert ledger.counts() == {(run_id, stage_id): 1 for run_id in ids for stage_id in STAGES}


def test_a_worker_that_wakes_too_late_changes_nothing(stack: Stack, ledger: Ledger) -> None:
    server = stack.dev()
    sleeper = stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        ids = start_held(client, ledger, "left")
        with stopped(sleeper.pid):
            stack.worker(WORKER, server)
            ledger.wait_for("left", 2 * RUNS)
            ledger.open_gate()
            assert_all_completed(client, server, ids)
        # It wakes, finishes what is no longer its own, and is told so.
        sessions = server.count_sessions()
        eventually_sync(
            lambda: server.count_sessions() > sessions,
            what="a new session of the sleeper",
            within=READY_WITHIN,
        )
        assert_all_completed(client, server, ids)
    sleeper.check_running()


def test_everything_killed_in_turn_while_runs_flow(stack: Stack, ledger: Ledger) -> None:
    server = stack.dev()
    worker = stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        ids = [client.create_run("counted", ledger.order()).id for _ in range(20)]
        ledger.wait_for("first", 10)
        worker.kill()
        worker = stack.worker(WORKER, server)

        ids += [client.create_run("counted", ledger.order()).id for _ in range(20)]
        ledger.wait_for("first", 25)
        server.process.kill()
        server = stack.dev(port=server.port)

        ids += [client.create_run("counted", ledger.order()).id for _ in range(20)]
        ledger.wait_for("first", 45)
        kill_database(server)

        ids += [client.create_run("counted", ledger.order()).id for _ in range(20)]
        assert_all_completed(client, server, ids)
    assert server.query("SELECT count(*) FROM runs") == [(len(ids),)]
    worker.check_running()
    server.process.check_running()


def kill_database(server: DevServer) -> None:
    """Kills PostgreSQL's main process, as its machine's memory manager might, and waits for the next one."""
    killed = server.postmaster.pid
    os.kill(killed, signal.SIGKILL)
    eventually_sync(
        lambda: server.postmaster.pid != killed, what="a new database process", within=READY_WITHIN
    )
