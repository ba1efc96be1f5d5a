"""Everything is killed and started again while a thousand stages are suspended: all of them resume, each once."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from stageline_sdk import SyncClient
from tests.acceptance.suspending import FOLDER, STAGES
from tests.support.invariants import violations
from tests.support.stack import Stack
from tests.waiting import eventually_sync

WORKER = "tests.acceptance.suspending:worker"


@pytest.mark.timeout(240)
def test_a_thousand_suspended_stages_outlive_server_database_and_worker(stack: Stack, tmp_path: Path) -> None:
    stack = replace(stack, environment={**stack.environment, FOLDER: str(tmp_path)})
    server = stack.dev()
    worker = stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        run_id = client.create_run("suspending").id
    eventually_sync(
        lambda: server.query("SELECT count(*) FROM stages WHERE state = 'SUSPENDED'") == [(STAGES,)],
        what="a thousand suspended stages",
        within=timedelta(seconds=90),
    )
    worker.kill()
    server.process.kill()

    server = stack.dev()
    (tmp_path / "open").touch()
    stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        done = client.wait_for_run(run_id)

    assert done.status == "COMPLETED"
    assert done.output == {f"wait-{number}": number for number in range(STAGES)}
    told = "SELECT type, count(*) FROM events WHERE type LIKE 'stage:%' GROUP BY type ORDER BY type"
    assert server.query(told) == [
        ("stage:completed", STAGES),
        ("stage:started", STAGES),
        ("stage:suspended", STAGES),
    ]
    begun = Counter((tmp_path / "begun").read_text().split())
    assert (len(begun), set(begun.values())) == (STAGES, {1}), "nothing was begun again"
    assert len(set((tmp_path / "resumed").read_text().split())) == STAGES
    assert violations(server.dsn) == {}
