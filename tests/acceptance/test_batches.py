"""A batch is submitted once, though the worker that submits it is killed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stageline_sdk import SyncClient
from stageline_sdk.ai.testing import FakeProvider
from tests.acceptance.batching import CRASH_AT
from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(180)

WORKER = "tests.acceptance.batching:worker"


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(lambda asked: f"heard {asked.prompt}") as fake:
        yield fake


def test_a_worker_killed_while_it_submits_leaves_one_batch_and_none_unknown(
    stack: Stack, provider: FakeProvider, tmp_path: Path
) -> None:
    """Before the call, then once the provider has accepted and before its reply is read."""
    crash_at = tmp_path / "crash-at"
    stack = replace(
        stack, environment={**stack.environment, **provider.environment(), CRASH_AT: str(crash_at)}
    )
    server = stack.dev()
    doomed = stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        for number, point in enumerate(("request", "response"), start=1):
            crash_at.write_text(point)
            run = client.create_run("asker", [f"a{number}", f"b{number}"])
            doomed.wait()
            assert len(provider.batches) == (number - 1 if point == "request" else number)
            doomed = stack.worker(WORKER, server)
            done = client.wait_for_run(run.id)
            assert (done.status, done.output) == (
                "COMPLETED",
                {f"{x}{number}": f"heard {x}{number}" for x in "ab"},
            )
            assert len(provider.batches) == number
        booked = server.query("SELECT sum(cost), count(*) FROM ai_calls")
    assert booked == [(provider.bill.total_usd, 4)]
