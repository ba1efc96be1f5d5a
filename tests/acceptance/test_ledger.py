"""Money that was spent is on the books, though the worker that spent it was killed before it could report."""

from decimal import Decimal

import pytest

from stageline_sdk import SyncClient
from tests.acceptance.ledger import Ledger
from tests.support.stack import Stack
from tests.waiting import eventually_sync

pytestmark = pytest.mark.timeout(180)

WORKER = "tests.acceptance.spending:worker"
RUNS = 4


def test_what_a_killed_worker_spent_is_booked_exactly_and_shown_as_waste(
    stack: Stack, ledger: Ledger
) -> None:
    server = stack.dev()
    doomed = stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        ids = [client.create_run("spender", ledger.order(held=["spend"])).id for _ in range(RUNS)]

        def booked() -> bool:
            return server.query("SELECT count(*) FROM ai_calls") == [(RUNS,)]

        eventually_sync(booked, what="the calls of stages that still run")
        doomed.kill()
        stack.worker(WORKER, server)
        ledger.wait_for("spend", 2 * RUNS)
        ledger.open_gate()
        for run_id in ids:
            assert client.wait_for_run(run_id).status == "COMPLETED"
        assert {client.get_run(run_id).total_cost_usd for run_id in ids} == {Decimal("0.5")}
        found = client.get_run(ids[0])
        assert (found.ai_call_count, found.wasted_cost_usd) == (2, Decimal("0.25"))
        booked_rows = server.query("SELECT run_id::text, count(*), sum(cost) FROM ai_calls GROUP BY run_id")
        assert sorted(booked_rows) == sorted((run_id, 2, Decimal("0.5")) for run_id in ids)
        lost = server.query(
            "SELECT count(*) FROM ai_calls JOIN lost_leases USING (run_id, stage_number, lease_token)"
        )
        assert lost == [(RUNS,)]
