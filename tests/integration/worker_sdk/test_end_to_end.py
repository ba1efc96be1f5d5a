"""Client, worker and the real server together, on one loop and in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import BaseModel, Field

from stageline_sdk import (
    Client,
    ConfigError,
    Context,
    Event,
    FailedPreconditionError,
    InvalidArgumentError,
    NoInput,
    NotFoundError,
    RunStatus,
    StageStatus,
    SyncClient,
    Worker,
    Workflow,
    stage,
)
from stageline_server.stores import memory_ports
from tests.integration.server.running import Server, running
from tests.integration.worker_sdk.stages import Gates, Number, add, double, fail, triple, wait
from tests.property.faults import FAULTS, FaultyPersistence
from tests.waiting import eventually


class Scale(BaseModel):
    factor: int = Field(default=10, ge=1)


@stage("scale")
async def scale(ctx: Context[Number, Scale]) -> Number:
    ctx.log.info("scaling", factor=ctx.config.factor)
    return Number(value=ctx.input.value * ctx.config.factor)


@stage("join", dependencies=[double, scale])
def join(ctx: Context[NoInput]) -> list[int]:
    return [ctx.require(each).value for each in (double, triple, scale)]


MATHS = Workflow("maths", input=Number).parallel(double, triple, scale).pipe(join).build()
SUMS = Workflow("sums", input=Number).pipe(double).pipe(triple).pipe(add).build()
FAILING = Workflow("failing", input=Number).pipe(double).pipe(fail).pipe(triple).build()
WAITING = Workflow("waiting", input=Number).pipe(wait).build()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running(memory_ports()) as server:
        yield server


@pytest.fixture
async def worker(server: Server) -> AsyncIterator[Worker]:
    worker = Worker(MATHS, SUMS, FAILING, WAITING)
    serving = asyncio.create_task(worker.run(server.application.address))
    yield worker
    worker.stop(timedelta(0))
    with suppress(Exception):
        await serving


@pytest.fixture
async def client(server: Server, worker: Worker) -> AsyncIterator[Client]:
    async with Client(server.application.address) as client:
        await eventually(lambda: _has_workflows(client), what="the worker's workflows")
        yield client


async def _has_workflows(client: Client) -> bool:
    return len([each async for each in client.list_workflows()]) == 4


def state_is(client: Client, run_id: str, status: StageStatus) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        return (await client.get_run(run_id)).stages[0].status is status

    return probe


async def test_a_run_goes_through_its_groups(client: Client) -> None:
    events: list[Event] = []
    result = await client.run_and_wait(MATHS, Number(value=7), on_event=events.append)
    assert result.status is RunStatus.COMPLETED
    assert result.output == [14, 21, 70]
    assert result.output_as(list[int]) == [14, 21, 70]
    assert {each.id: each.output for each in result.stages} == {
        "double": {"value": 14},
        "triple": {"value": 21},
        "scale": {"value": 70},
        "join": [14, 21, 70],
    }
    assert result.stage("join").group == 2
    assert result.error is None
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert (events[0].type, events[-1].type) == ("workflow:created", "workflow:completed")


async def test_outputs_that_are_not_declared_are_fetched(client: Client) -> None:
    result = await client.run_and_wait(SUMS, {"value": 1})
    assert result.output == {"value": 8}


async def test_config_reaches_the_stage_and_is_checked_before(client: Client) -> None:
    result = await client.run_and_wait(MATHS, {"value": 1}, config={"scale": Scale(factor=3)})
    assert result.output == [2, 3, 3]
    with pytest.raises(ConfigError, match="factor"):
        await client.create_run(MATHS, {"value": 1}, config={"scale": {"factor": 0}})
    with pytest.raises(InvalidArgumentError) as raised:
        await client.create_run("maths", {"value": 1}, config={"scale": {"factor": 0}})
    assert "config.scale.factor" in str(raised.value)


async def test_a_failure_is_a_result(client: Client) -> None:
    run = await client.create_run(FAILING, {"value": 1})
    await eventually(lambda: _has_failed_once(client, run.id), what="the first failure")
    await client.cancel_run(run.id, "enough")
    result = await client.wait_for_run(run.id)
    assert result.status is RunStatus.CANCELLED
    assert not result.is_completed
    assert result.run.cancel_reason == "enough"


async def _has_failed_once(client: Client, run_id: str) -> bool:
    error = (await client.get_run(run_id)).stages[1].error
    return error is not None and (error.type, error.message) == ("ValueError", "no good: 2")


async def test_cancelling_stops_the_stage(client: Client, gates: Gates) -> None:
    run = await client.create_run(WAITING, {"value": 1})
    await gates.entered.get()
    assert (await client.cancel_run(run.id)).status is RunStatus.CANCELLED
    assert (await client.cancel_run(run.id)).status is RunStatus.CANCELLED
    await eventually(lambda: _cancelled(gates), what="the stage's end")


async def _cancelled(gates: Gates) -> bool:
    return len(gates.cancelled) == 1


async def test_what_the_server_refuses_is_typed(client: Client) -> None:
    with pytest.raises(NotFoundError) as not_found:
        await client.create_run("nothing", {})
    assert not_found.value.reason == "WORKFLOW_NOT_FOUND"
    with pytest.raises(InvalidArgumentError) as invalid:
        await client.create_run("maths", {"value": "many"})
    assert invalid.value.reason == "INVALID_INPUT"
    assert [violation.field for violation in invalid.value.field_violations] == ["input.value"]
    done = await client.run_and_wait(SUMS, {"value": 1})
    with pytest.raises(FailedPreconditionError) as refused:
        await client.cancel_run(done.run_id)
    assert refused.value.reason == "RUN_NOT_CANCELLABLE"


async def test_one_request_id_starts_one_run(client: Client) -> None:
    runs = [await client.create_run(SUMS, {"value": 1}, request_id="once") for _ in range(2)]
    assert runs[0].id == runs[1].id


async def test_runs_are_listed_by_workflow_and_status(client: Client) -> None:
    first = await client.run_and_wait(SUMS, {"value": 1})
    second = await client.run_and_wait(SUMS, {"value": 2})
    await client.run_and_wait(MATHS, {"value": 2})
    listed = client.list_runs(workflow=SUMS, status=["COMPLETED"])
    assert [run.id async for run in listed] == [second.run_id, first.run_id]
    assert [run async for run in client.list_runs(status=["FAILED"])] == []


async def test_logs_can_be_read_afterwards(client: Client) -> None:
    result = await client.run_and_wait(MATHS, {"value": 1})

    async def lines() -> list[tuple[str, str, object]]:
        found = client.list_logs(result.run_id, stage_id="scale")
        return [(line.level, line.message, dict(line.fields)) async for line in found]

    assert await eventually(lines, what="the log lines") == [("INFO", "scaling", {"factor": 10})]


async def test_workflows_can_be_read_back(client: Client) -> None:
    listed = {each.name: each.version async for each in client.list_workflows()}
    assert listed == {"maths": 1, "sums": 1, "failing": 1, "waiting": 1}
    maths = await client.get_workflow("maths")
    assert [(each.id, each.group) for each in maths.stages] == [
        ("double", 1),
        ("triple", 1),
        ("scale", 1),
        ("join", 2),
    ]
    assert maths.stages[2].default_config == {"factor": 10}
    assert maths.input_schema["properties"]["value"]["type"] == "integer"
    assert (await client.register_workflow(MATHS)).version == 1


async def test_many_runs_at_once(client: Client) -> None:
    results = await asyncio.gather(*(client.run_and_wait(SUMS, {"value": value}) for value in range(100)))
    assert [result.output["value"] for result in results] == [8 * value for value in range(100)]


async def test_a_script_without_a_loop(server: Server, client: Client) -> None:
    def script() -> object:
        with SyncClient(server.application.address) as sync_client:
            return sync_client.run_and_wait(SUMS, {"value": 5}).output

    assert await asyncio.to_thread(script) == {"value": 40}


async def test_a_worker_that_ends_hands_over_to_the_next(
    server: Server, worker: Worker, client: Client, gates: Gates
) -> None:
    run = await client.create_run(WAITING, {"value": 1})
    await gates.entered.get()
    worker.stop(within=timedelta(milliseconds=200))
    await eventually(state_is(client, run.id, StageStatus.PENDING), what="the job's return")
    gates.open.set()
    successor = Worker(WAITING, name="successor")
    serving = asyncio.create_task(successor.run(server.application.address))
    result = await client.wait_for_run(run.id)
    assert result.is_completed
    assert result.stages[0].attempt == 1, "a job that is handed back costs no attempt"
    successor.stop()
    await serving


async def test_11_4_46_a_stage_whose_input_was_lost_fails_and_is_not_given_the_runs() -> None:
    ports = memory_ports()
    losing = replace(ports, persistence=FaultyPersistence(ports.persistence, FAULTS["loses outputs"]))
    worker = Worker(SUMS)
    async with running(losing) as server:
        serving = asyncio.create_task(worker.run(server.application.address))
        async with Client(server.application.address) as client:

            async def is_registered() -> bool:
                return bool([each async for each in client.list_workflows("sums")])

            await eventually(is_registered, what="the workflow")
            result = await client.run_and_wait(SUMS, Number(value=2), timeout=timedelta(seconds=30))
        worker.stop(timedelta(0))
        await serving
    assert result.status is RunStatus.FAILED
    assert result.error is not None
    assert result.error.message == "the server did not send the outputs of double"
    assert result.error.stage_id == "triple"
