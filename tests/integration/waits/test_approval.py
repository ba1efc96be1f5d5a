"""examples.approval from its start to the order, with a real server, a real worker and the real command."""

import asyncio
import json
from typing import Any

from click.testing import CliRunner, Result

from examples.approval import Purchase, approval
from stageline_cli.group import stageline
from stageline_sdk import Client, Run, StageStatus, Worker
from tests.integration.server.running import Server
from tests.integration.waits.conftest import Serve
from tests.waiting import eventually

PURCHASE = Purchase(item="a new server", cost_usd=4200)


async def command(server: Server, *arguments: str) -> Result:
    """Calls the `stageline` command, on a thread of its own: it has its own loop."""
    environment = {"STAGELINE_ADDRESS": server.application.address}
    return await asyncio.to_thread(CliRunner().invoke, stageline, list(arguments), env=environment)


async def asked(client: Client) -> tuple[Run, str]:
    """A run that waits for a person, and the token that was given away."""
    run = await client.create_run(approval, PURCHASE)

    async def waits() -> Run | None:
        found = await client.get_run(run.id)
        return found if found.stages[1].status is StageStatus.SUSPENDED else None

    await eventually(waits, what="the suspension")

    async def logged() -> list[Any]:
        return [line async for line in client.list_logs(run.id, stage_id="approve")]

    [line] = await eventually(logged, what="the log line with the token")
    assert line.fields["token"] in line.fields["approve"]
    return run, line.fields["token"]


async def test_a_person_approves(server: Server, client: Client, serve: Serve) -> None:
    await serve(Worker(approval, concurrency=1))
    run, token = await asked(client)
    [worker] = [each async for each in client.list_workers()]
    assert (worker.held_jobs, worker.slots) == (0, 1)
    [note] = [each async for each in client.annotations(run.id)]
    assert (note.key, note.value, note.stage_id) == (
        "approval.asked",
        "May we buy a new server for 4,200.00 USD?",
        "approve",
    )
    wrong = await command(server, "run", "resume", run.id, "approve", "--token", "x" * 32, "--output", "{}")
    assert (wrong.exit_code, "A token works once" in wrong.output) == (4, True)
    unfit = await command(server, "run", "resume", run.id, "approve", "--token", token, "--output", "{}")
    assert (unfit.exit_code, "approved" in unfit.output) == (4, True)
    answer = '{"approved": true, "by": "ada"}'
    done = await command(
        server, "run", "resume", run.id, "approve", "--token", token, "--output", answer, "--json"
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["id"] == run.id
    result = await client.wait_for_run(run.id)
    assert (result.status, result.output) == ("COMPLETED", "ordered, approved by ada")
    late = await command(
        server, "run", "resume", run.id, "approve", "--token", token, "--output", '{"approved": false}'
    )
    assert late.exit_code == 4


async def test_a_person_refuses_and_later_the_run_is_run_again(
    server: Server, client: Client, serve: Serve
) -> None:
    await serve(Worker(approval))
    run, token = await asked(client)
    refused = await command(
        server, "run", "resume", run.id, "approve", "--token", token, "--fail", "no budget"
    )
    assert (refused.exit_code, refused.output) == (0, f"run {run.id} is FAILED\n")
    found = await client.get_run(run.id)
    assert found.error is not None
    assert (found.error.type, found.error.message) == ("Rejected", "no budget")
    again = await command(
        server, "run", "rerun", run.id, "--from", "approve", "--reason", "there is budget now"
    )
    assert (again.exit_code, again.output) == (0, f"run {run.id} is RUNNING\n")
    shown = await command(server, "run", "annotations", run.id)
    assert "approval.asked" in shown.output
    workers = await command(server, "workers", "list")
    assert "ready" in workers.output
    dead = await command(server, "dlq", "list", "--json")
    assert json.loads(dead.output) == []
    replayed = await command(server, "dlq", "replay", "--plugin", "sink")
    assert replayed.output == "0 will be delivered again\n"
    await client.cancel_run(run.id)


async def test_wrong_usage_is_told_before_anything_is_sent() -> None:
    for arguments in (
        ["run", "resume", "r", "s", "--token", "t"],
        ["run", "resume", "r", "s", "--token", "t", "--output", "1", "--fail", "x"],
        ["run", "resume", "r", "s", "--token", "t", "--output", "1", "--retry"],
        ["run", "resume", "r", "s", "--output", "1"],
        ["dlq", "replay"],
        ["dlq", "replay", "x", "--plugin", "sink"],
        ["worker", "examples.approval:worker", "--max-jobs", "4"],
        ["worker", "examples.approval:worker", "--stage", "approve"],
    ):
        outcome = await asyncio.to_thread(CliRunner().invoke, stageline, arguments)
        assert outcome.exit_code == 2, arguments
