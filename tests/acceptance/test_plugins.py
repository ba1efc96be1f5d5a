"""A server killed while it gives events to a plugin: none is lost, and each run's come in their order."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from stageline_sdk import Context, NoInput, SyncClient, Workflow, stage
from tests.support.processes import READY_WITHIN
from tests.support.stack import Stack
from tests.waiting import eventually_sync

pytestmark = pytest.mark.timeout(180)

RUNS = 10


@stage("only")
def only(ctx: Context[NoInput]) -> int:
    return 1


def noted(folder: Path) -> dict[str, list[int]]:
    """What the plugin was told, by run."""
    path = folder / "notes"
    told: dict[str, list[int]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        run_id, _, sequence = line.partition(" ")
        told.setdefault(run_id, []).append(int(sequence))
    return told


def test_11_10_112_a_server_killed_while_flushing_loses_no_event_and_no_order(
    stack: Stack, tmp_path: Path
) -> None:
    environment = {
        **stack.environment,
        "STAGELINE_PLUGINS": "tests.acceptance.plugins:notes",
        "STAGELINE_TEST_NOTES": str(tmp_path),
    }
    stack = replace(stack, environment=environment)
    server = stack.dev()
    with SyncClient(server.address) as client:
        client.register_workflow(Workflow("noted", input=NoInput).pipe(only).build())
        runs = [client.create_run("noted", {}).id for _ in range(RUNS)]
        for run_id in runs:
            client.cancel_run(run_id)
    begun = lambda: all(noted(tmp_path).get(run_id, [])[:1] == [1] for run_id in runs)  # noqa: E731 - a probe
    eventually_sync(begun, what="the first events at the plugin", within=READY_WITHIN)
    server.process.kill()
    (tmp_path / "gate").touch()
    stack.dev(port=server.port)

    def ended() -> bool:
        return all(noted(tmp_path).get(run_id, [])[-1:] == [4] for run_id in runs)

    eventually_sync(ended, what="the last events at the plugin", within=READY_WITHIN)
    for told in noted(tmp_path).values():
        assert list(dict.fromkeys(told)) == [1, 2, 3, 4], "first seen in order, none missing"
        assert all(later <= earlier + 1 for earlier, later in pairwise(told))
