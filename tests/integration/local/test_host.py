"""A local host does what a server and a worker do, in one process, in memory and on a PostgreSQL."""

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest

from stageline_engine.testing import VirtualClock
from stageline_local import LocalHost, SyncLocalHost, run_local
from stageline_sdk import Client, InvalidArgumentError, NotFoundError, StageStatus, Worker
from tests.integration.local.conftest import MakeHost
from tests.integration.local.stages import (
    HOUR,
    Number,
    approvals,
    batches,
    doomed,
    numbers,
    retried,
    stuck,
)
from tests.waiting import eventually


async def test_11_4_37_a_run_goes_through_its_groups(make_host: MakeHost) -> None:
    async with make_host(numbers) as host:
        result = await host.run_and_wait(Number(value=3))
        logs = [line.message async for line in host.client.list_logs(result.run_id)]
        notes = [note.value async for note in host.client.annotations(result.run_id)]
    assert (result.status, result.output) == ("COMPLETED", 36 - 6 + 6)
    assert (logs, notes) == (["doubling"], ["doubled"])


async def test_11_4_43_config_is_merged_and_bad_input_is_refused(make_host: MakeHost) -> None:
    async with make_host(numbers) as host:
        result = await host.run_and_wait(Number(value=3), config={"double": {"factor": 10}})
        assert result.stage("double").output == {"value": 30}
        with pytest.raises(InvalidArgumentError, match="value"):
            await host.run_and_wait({"value": "three"})


async def test_many_runs_at_once(make_host: MakeHost) -> None:
    async with make_host(numbers) as host:
        results = await asyncio.gather(*(host.run_and_wait(Number(value=n)) for n in range(20)))
    assert [result.output for result in results] == [4 * n * n for n in range(20)]


async def test_a_failure_is_a_result(make_host: MakeHost) -> None:
    async with make_host(doomed) as host:
        result = await host.run_and_wait()
    assert result.status == "FAILED"
    assert result.error is not None
    assert "encrypted" in result.error.message


async def test_11_5_56_retries_wait_in_virtual_time(make_host: MakeHost) -> None:
    clock = VirtualClock()
    began = clock.now()
    async with make_host(retried, clock=clock) as host:
        result = await host.run_and_wait()
    assert (result.output, result.stage("flaky").attempt) == (3, 3)
    assert clock.now() - began == 3 * HOUR


async def test_a_run_starts_at_its_time_or_after_its_delay(make_host: MakeHost) -> None:
    clock = VirtualClock()
    began = clock.now()
    async with make_host(numbers, clock=clock) as host:
        timed = await host.create_run(Number(value=1), start=began + HOUR)
        delayed = await host.create_run(Number(value=1), start=2 * HOUR)
        assert [run.status for run in (timed, delayed)] == ["PENDING", "PENDING"]
        assert [run.start_at for run in (timed, delayed)] == [began + HOUR, began + 2 * HOUR]
        for run in (timed, delayed):
            clock.advance(HOUR)
            assert (await host.client.wait_for_run(run.id)).status == "COMPLETED"
            assert (await host.client.get_run(run.id)).started_at == run.start_at
        with pytest.raises(InvalidArgumentError, match="start_delay"):
            await host.create_run(Number(value=1), start=timedelta(days=367))


async def test_11_6_71_twenty_days_of_checks_take_a_moment(make_host: MakeHost) -> None:
    clock = VirtualClock()
    began = clock.now()
    async with make_host(batches, clock=clock) as host:
        result = await host.run_and_wait()
    assert (result.status, result.output) == ("COMPLETED", 480)
    assert clock.now() - began == timedelta(days=20) + HOUR


async def test_time_stands_still_while_nobody_waits(make_host: MakeHost) -> None:
    clock = VirtualClock()
    began = clock.now()
    async with make_host(retried, clock=clock) as host:
        run = await host.create_run()

        async def is_delayed() -> bool:
            found = (await host.client.get_run(run.id)).stages[0]
            return found.status is StageStatus.PENDING and found.attempt == 1

        await eventually(is_delayed, what="the wait for the second attempt")
        assert clock.now() == began
        clock.advance(HOUR)

        async def is_tried_again() -> bool:
            return (await host.client.get_run(run.id)).stages[0].attempt == 2

        await eventually(is_tried_again, what="the second attempt")
        assert clock.now() == began + HOUR


async def test_a_wait_is_ended_from_outside(make_host: MakeHost) -> None:
    async with make_host(approvals) as host:
        run = await host.create_run()

        async def is_suspended() -> bool:
            return (await host.client.get_run(run.id)).stages[0].status is StageStatus.SUSPENDED

        await eventually(is_suspended, what="the suspension")
        [note] = [note async for note in host.client.annotations(run.id)]
        await host.client.resume_stage(run.id, "approve", note.value, output="yes")
        assert (await host.wait_for_run(run.id)).output == "yes"


async def test_11_6_74_the_longest_wait_is_enforced_in_virtual_time() -> None:
    clock = VirtualClock()
    async with LocalHost(approvals, clock=clock) as host:
        result = await host.run_and_wait()
    assert (result.status, result.error and result.error.type) == ("FAILED", "WAIT_EXPIRED")


async def test_11_7_86_a_run_is_rerun_from_a_stage(make_host: MakeHost) -> None:
    async with make_host(numbers) as host:
        first = await host.run_and_wait(Number(value=1))
        await host.client.rerun_run(first.run_id, "square")
        again = await host.wait_for_run(first.run_id)
    assert again.output == first.output
    assert [stage.generation for stage in again.stages] == [1, 2, 2, 2]


async def begun(host: LocalHost) -> str:
    """A run whose stage works until it is stopped."""
    run = await host.create_run()
    async with aclosing(host.client.watch_run(run.id)) as events:
        async for event in events:
            if event.type == "stage:progress":
                return run.id
    raise AssertionError("it ended")


async def test_a_cancelled_run_stops_its_stage(make_host: MakeHost) -> None:
    async with make_host(stuck) as host:
        run_id = await begun(host)
        await host.client.cancel_run(run_id, "a test says so")
        assert (await host.wait_for_run(run_id)).status == "CANCELLED"


async def test_a_host_that_is_left_in_anger_stops_its_stages(make_host: MakeHost) -> None:
    host = make_host(stuck)
    await host.__aenter__()
    await begun(host)
    await host.__aexit__(RuntimeError, RuntimeError("a test says so"), None)
    with pytest.raises(RuntimeError, match="inside"):
        _ = host.client


@pytest.mark.postgres
async def test_on_a_database_runs_outlive_the_host(create_database: object) -> None:
    from stageline_migrations import upgrade  # noqa: PLC0415 - only with a database

    url = create_database(upgrade)  # type: ignore[operator]
    clock = VirtualClock()
    async with LocalHost(retried, database_url=url, clock=clock) as host:
        run = await host.create_run()
    async with LocalHost(retried, database_url=url, clock=clock) as host:
        assert (await host.wait_for_run(run.id)).output == 3


@pytest.mark.postgres
async def test_a_host_brings_the_schema_up_to_date_when_asked(create_database: object) -> None:
    url = create_database()  # type: ignore[operator]
    with pytest.raises(Exception, match="stageline migrate"):
        async with LocalHost(numbers, database_url=url):
            pass
    async with LocalHost(numbers, database_url=url, migrate=True) as host:
        assert (await host.run_and_wait(Number(value=1))).output == 4


async def test_several_workflows_need_a_name() -> None:
    async with LocalHost(numbers, doomed) as host:
        with pytest.raises(ValueError, match="numbers, doomed"):
            await host.run_and_wait()
        assert (await host.run_and_wait(Number(value=1), workflow=numbers)).output == 4


async def test_further_clients_and_workers_of_the_process_may_join() -> None:
    async with LocalHost(numbers) as host, Client(host.connection) as client:
        joined = asyncio.create_task((worker := Worker(doomed)).run(host.connection))

        async def is_known() -> bool:
            return len([each async for each in client.list_workers()]) == 2

        await eventually(is_known, what="the second worker")
        assert (await client.run_and_wait(doomed)).status == "FAILED"
        worker.stop()
        await joined


async def test_outside_of_its_block_it_says_so() -> None:
    host = LocalHost(numbers)
    with pytest.raises(RuntimeError, match="async with LocalHost"):
        await host.run_and_wait()
    async with host:
        connection = host.connection
    client = Client(connection, retry_for=timedelta(0))
    with pytest.raises(Exception, match="closed"):
        await client.get_run("00000000-0000-7000-8000-000000000000")


async def test_an_unknown_run_is_a_typed_error() -> None:
    async with LocalHost(numbers) as host:
        with pytest.raises(NotFoundError):
            await host.wait_for_run("00000000-0000-7000-8000-000000000000")


def test_the_sync_twin() -> None:
    with SyncLocalHost(numbers) as host:
        result = host.run_and_wait(Number(value=3))
        assert result.output == 36
        assert [run.id for run in host.client.list_runs()] == [result.run_id]
        assert host.create_run(Number(value=1)).status == "RUNNING"
    with pytest.raises(RuntimeError, match="with SyncLocalHost"):
        _ = host.client


async def test_a_notebook_whose_loop_runs_may_use_it() -> None:
    assert run_local(numbers, Number(value=2)).output == 16
