"""Stages in processes: real ones, with real deaths."""

import asyncio
import multiprocessing
import os
from datetime import timedelta

import pytest
from pydantic_core import from_json

from stageline_sdk import stage
from stageline_sdk._execute import StageRunner
from stageline_sdk._job import Cancelled, Completed, Job, StageFailure
from stageline_sdk._limits import PROCESS_CANCEL_GRACE
from stageline_sdk._process_child import find_stage
from stageline_sdk.ai import ModelRegistry
from stageline_sdk.cancellation import CancelSource
from tests.unit.worker_sdk import samples
from tests.unit.worker_sdk.sinks import KeepingSink
from tests.waiting import eventually_sync

JOB = Job(run_id="r", workflow_name="w", workflow_version=1, stage_id="s", input=b'{"url": "x"}')


async def test_a_stage_runs_in_a_process_that_is_used_again(runner: StageRunner) -> None:
    sink = KeepingSink()
    first = await runner.run(samples.in_process, JOB, sink)
    second = await runner.run(samples.in_process, JOB, sink)
    assert isinstance(first, Completed)
    assert first == second
    told = from_json(first.output)
    assert told["pid"] != os.getpid()
    assert told["url"] == "x"
    assert told["main"] == "MainThread"
    assert [record.fields["pid"] for record in sink.logs] == [told["pid"]] * 2
    assert sink.updates[0].message == "done"
    assert sink.annotations[0].value == "kept"


async def test_a_stage_in_a_process_can_fetch_outputs(runner: StageRunner) -> None:
    sink = KeepingSink(stored={"extract-text": b'{"text": "", "word_count": 4}'})
    stored = Job(
        run_id="r",
        workflow_name="w",
        workflow_version=1,
        stage_id="s",
        stored_outputs=frozenset({"extract-text"}),
    )
    assert await runner.run(samples.fetches_in_process, stored, sink) == Completed(b"4")
    failed = await runner.run(samples.fetches_in_process, stored, KeepingSink())
    assert isinstance(failed, StageFailure)
    assert failed.type == "stageline_sdk.errors.ApiError"
    assert failed.retryable is False


async def test_an_error_comes_back_as_in_a_thread(runner: StageRunner) -> None:
    failed = await runner.run(samples.raises_in_process, JOB, KeepingSink())
    assert isinstance(failed, StageFailure)
    assert failed.type == "stageline_sdk.errors.RetryableError"
    assert failed.message == "too busy"
    assert failed.retry_after == timedelta(seconds=7)
    assert "in raises_in_process" in failed.stack


async def test_a_process_that_dies_fails_its_attempt_alone(runner: StageRunner) -> None:
    killed, exited = await asyncio.gather(
        runner.run(samples.dies, JOB, KeepingSink()), runner.run(samples.exits, JOB, KeepingSink())
    )
    assert isinstance(killed, StageFailure)
    assert killed.type == "ProcessDiedError"
    assert (
        killed.message == "the process of stage 'dies' was killed by SIGKILL (is the machine out of memory?)"
    )
    assert killed.retryable is None
    assert isinstance(exited, StageFailure)
    assert exited.message == "the process of stage 'exits' ended with exit code 3"
    assert isinstance(await runner.run(samples.in_process, JOB, KeepingSink()), Completed)


async def test_a_cancelled_stage_in_a_process_can_stop_by_itself(runner: StageRunner) -> None:
    sink, cancel = KeepingSink(), CancelSource()
    running = asyncio.create_task(runner.run(samples.listens, JOB, sink, cancel))
    assert await asyncio.to_thread(sink.logged.wait, 20)
    cancel.cancel("timed out")
    assert await running == Cancelled("timed out")


async def test_a_cancelled_stage_that_does_not_listen_is_ended(
    runner: StageRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert timedelta(seconds=1) <= PROCESS_CANCEL_GRACE <= timedelta(seconds=30)
    monkeypatch.setattr("stageline_sdk._processes.PROCESS_CANCEL_GRACE", timedelta(0))
    sink, cancel = KeepingSink(), CancelSource()
    running = asyncio.create_task(runner.run(samples.deaf, JOB, sink, cancel))
    assert await asyncio.to_thread(sink.logged.wait, 20)
    cancel.cancel("timed out")
    assert await running == Cancelled("timed out")


async def test_a_runner_that_closes_leaves_no_process_behind() -> None:
    sink = KeepingSink()
    async with StageRunner() as runner:
        await runner.run(samples.in_process, JOB, sink)
        running = asyncio.create_task(runner.run(samples.deaf, JOB, KeepingSink()))
        sink.logged.clear()
        busy = asyncio.create_task(runner.run(samples.deaf, JOB, sink))
        assert await asyncio.to_thread(sink.logged.wait, 20)
    for task in (running, busy):
        assert await task == Cancelled("the worker stops")
    await asyncio.to_thread(
        eventually_sync, lambda: not multiprocessing.active_children(), what="the end of the processes"
    )


async def test_models_that_cannot_go_into_a_process_are_told_with_what_to_do() -> None:
    models = ModelRegistry(resolvers={"mine": lambda model: model})
    async with StageRunner(models) as runner:
        outcome = await runner.run(samples.in_process, JOB, KeepingSink())
    assert isinstance(outcome, StageFailure)
    assert outcome.retryable is False
    assert "must be functions of a module" in outcome.message


def test_a_stage_is_found_by_its_function_or_by_its_id() -> None:
    found = find_stage("tests.unit.worker_sdk.samples", "in_process", "in-process")
    assert found.id == "in-process"
    assert find_stage("tests.unit.worker_sdk.samples", "renamed", "in-process") is found
    with pytest.raises(LookupError, match="has no stage 'nope' at its top"):
        find_stage("tests.unit.worker_sdk.samples", "nope", "nope")


async def test_a_stage_that_cannot_be_found_is_a_final_failure(runner: StageRunner) -> None:
    hidden = stage("hidden", executor="process")(samples.in_process.function)
    failed = await runner.run(hidden, JOB, KeepingSink())
    assert isinstance(failed, StageFailure)
    assert failed.kind == "INTERNAL"
    assert failed.retryable is False
    assert "stage 'hidden' could not be imported in its process" in failed.message
