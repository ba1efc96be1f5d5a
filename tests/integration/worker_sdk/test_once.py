"""Workers that live for one call, against a real server: cron jobs and functions."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner, Result

from stageline_cli.exit_codes import ExitCode
from stageline_cli.group import stageline
from stageline_sdk import Client, Context, NoInput, NotFoundError, UnavailableError, Worker, Workflow, stage
from stageline_server.settings import Settings
from stageline_server.stores import memory_ports
from tests.integration.local.stages import Number, batch, doomed, double, endless, negate, square
from tests.integration.server.running import Server, running
from tests.waiting import eventually

numbers = Workflow("numbers", input=Number).pipe(double).parallel(square, negate).build()
worker = Worker(numbers, doomed, concurrency=4)
SECONDS = timedelta(seconds=20)
BRIEF = Settings(listen="127.0.0.1:0", lease_duration=timedelta(seconds=1))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running(memory_ports()) as started:
        yield started


@pytest.fixture
async def address(server: Server) -> str:
    return server.application.address


@pytest.fixture
async def client(address: str) -> AsyncIterator[Client]:
    async with Client(address) as connected:
        yield connected


async def test_available_jobs_are_done_and_what_follows_counts(client: Client, address: str) -> None:
    assert (await worker.run_once(address=address)).jobs == ()
    run = await client.create_run(numbers, Number(value=3))
    one = await worker.run_once(address=address)
    assert [(job.stage_id, job.outcome, job.disposition) for job in one.jobs] == [
        ("double", "COMPLETED", "RECORDED")
    ]
    rest = await worker.run_once(10, address=address)
    assert sorted(job.stage_id for job in rest.jobs) == ["negate", "square"]
    assert (rest.counts, rest.has_failures) == ({"COMPLETED": 2}, False)
    found = await client.get_run(run.id)
    assert (found.status, found.output) == ("COMPLETED", {"square": 36, "negate": -6})
    assert [line.message async for line in client.list_logs(run.id)] == ["doubling"]
    assert [note.value async for note in client.annotations(run.id)] == ["doubled"]
    assert [each async for each in client.list_workers()] == []


async def test_it_waits_for_a_first_job(client: Client, address: str) -> None:
    await client.register_workflow(numbers)
    waiting = asyncio.create_task(worker.run_once(wait=SECONDS, address=address))

    async def waits() -> bool:
        return bool([each async for each in client.list_workers()])

    await eventually(waits, what="the waiting worker")
    run = await client.create_run(numbers, Number(value=1))
    assert [job.run_id for job in (await waiting).jobs] == [run.id]


async def test_a_given_job(client: Client, address: str) -> None:
    await client.register_workflow(numbers)
    await client.create_run(numbers, Number(value=1), priority=100)
    run = await client.create_run(numbers, Number(value=2))
    job = await worker.run_job(run.id, "double", address=address)
    assert job is not None
    assert (job.run_id, job.outcome) == (run.id, "COMPLETED")
    assert await worker.run_job(run.id, "double", address=address) is None
    with pytest.raises(NotFoundError, match="nothing"):
        await worker.run_job(run.id, "nothing", address=address)


async def test_a_failure_is_reported_and_told(client: Client, address: str) -> None:
    await client.register_workflow(doomed)
    run = await client.create_run(doomed)
    result = await worker.run_once(address=address)
    assert result.has_failures
    assert "encrypted" in result.jobs[0].error
    assert (await client.get_run(run.id)).status == "FAILED"


async def test_a_cancelled_run_is_stopped_at_the_next_extension() -> None:
    stuck = Workflow("stuck", input=NoInput).pipe(endless).build()
    async with running(memory_ports(), BRIEF) as server:
        address = server.application.address
        async with Client(address) as client:
            await client.register_workflow(stuck)
            run = await client.create_run(stuck)
            working = asyncio.create_task(Worker(stuck).run_once(address=address))

            async def is_running() -> bool:
                return (await client.get_run(run.id)).stages[0].status == "RUNNING"

            await eventually(is_running, what="the stage")
            await client.cancel_run(run.id)
            assert [job.outcome for job in (await working).jobs] == ["LOST"]


async def test_a_lease_is_extended_while_the_stage_works() -> None:
    gate = asyncio.Event()

    @stage("gated")
    async def gated(ctx: Context[NoInput]) -> int:
        await gate.wait()
        return ctx.delivery

    workflow = Workflow("gated", input=NoInput).pipe(gated).build()
    ports = memory_ports()
    async with running(ports, BRIEF) as server:
        address = server.application.address
        async with Client(address) as client:
            await client.register_workflow(workflow)
            run = await client.create_run(workflow)
            working = asyncio.create_task(Worker(workflow).run_once(address=address))
            ends: set[datetime] = set()

            async def is_extended() -> bool:
                ends.update(each.expires_at for each in await ports.sessions.list("default", limit=10))
                return len(ends) > 3

            await eventually(is_extended, what="the extensions")
            gate.set()
            assert [job.outcome for job in (await working).jobs] == ["COMPLETED"]
            assert (await client.get_run(run.id)).output == 1


async def test_a_stop_hands_back_what_is_not_done_in_time(client: Client, address: str) -> None:
    stuck = Workflow("stuck", input=NoInput).pipe(endless).build()
    leaver = Worker(stuck)
    await client.register_workflow(stuck)
    run = await client.create_run(stuck)
    working = asyncio.create_task(leaver.run_once(5, address=address))

    async def is_running() -> bool:
        return (await client.get_run(run.id)).stages[0].status == "RUNNING"

    await eventually(is_running, what="the stage")
    leaver.stop(timedelta(0))
    assert [job.outcome for job in (await working).jobs] == ["RETURNED"]
    assert (await client.get_run(run.id)).stages[0].status == "PENDING"


async def test_a_suspended_stage_is_checked_by_later_calls(client: Client, address: str) -> None:
    batches = Workflow("batches", input=NoInput).pipe(batch).build()
    await client.register_workflow(batches)
    await client.create_run(batches)
    result = await Worker(batches).run_once(5, address=address)
    assert [(job.kind, job.outcome) for job in result.jobs] == [("EXECUTE", "SUSPENDED")]


async def test_a_server_that_is_away_is_an_error_before_any_job() -> None:
    with pytest.raises(UnavailableError):
        await Worker(Workflow("w", input=Number).pipe(double).pipe(negate).build()).run_once(
            address="127.0.0.1:1"
        )


async def command(address: str, *arguments: str) -> Result:
    """Calls the command, on a thread of its own."""
    target = ("worker", "tests.integration.worker_sdk.test_once:worker", "--address", address)
    return await asyncio.to_thread(CliRunner().invoke, stageline, [*target, *arguments])


async def test_the_command_line_refuses_what_belongs_to_once(address: str) -> None:
    refused = await command(address, "--run", "x")
    assert (refused.exit_code, "--once" in refused.output) == (ExitCode.USAGE, True)
