"""SPEC 11.5: failure, retry, transition."""

import asyncio
from datetime import timedelta

import orjson
import pytest

from stageline_engine.commands import RunTransition, TransitionRun
from stageline_engine.model.definition import RetryPolicy
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing import Scene, stage, workflow
from stageline_engine.testing.scene import completed, failed

POLICY = RetryPolicy(max_attempts=3, initial_backoff=timedelta(seconds=2), jitter=0.0)
FLAKY = workflow("flow", stage("a", retry=POLICY))


async def test_11_5_56_a_stage_that_fails_once_completes_at_the_second_try(scene: Scene) -> None:
    registered = await scene.register(FLAKY)
    run_id = await scene.create("flow")
    session_id = await scene.open_session()
    [offer] = await scene.lease(session_id, registered)
    await scene.report(offer, failed("ValueError", "first"))
    [entry] = (await scene.details(run_id)).stages
    assert entry.result is not None
    assert entry.result.error is not None
    assert entry.result.error.message == "first"
    scene.clock.advance(timedelta(seconds=2))
    await scene.promote()
    [again] = await scene.lease(session_id, registered)
    await scene.report(again, completed(1))
    details = await scene.details(run_id)
    assert (details.run.state, details.run.error) == (RunState.COMPLETED, None)
    assert details.stages[0].result is not None
    assert (details.stages[0].stage.attempt, details.stages[0].result.error) == (2, None)
    assert await scene.event_types(run_id) == [
        "workflow:created",
        "workflow:started",
        "stage:started",
        "stage:failed",
        "stage:retry_scheduled",
        "stage:started",
        "stage:completed",
        "workflow:completed",
    ]


async def test_11_5_58_waits_grow_and_another_worker_may_take_the_job_as_it_was(scene: Scene) -> None:
    registered = await scene.register(FLAKY)
    run_id = await scene.create("flow", b'"payload"')
    waits = []
    for _ in range(2):
        [offer] = await scene.lease(await scene.open_session(), registered)
        assert (offer.run_input, offer.lease.run_id) == ('"payload"', run_id)
        dispatched = await scene.report_many((offer, failed()))
        assert dispatched.effects.wake_at is not None
        waits.append(dispatched.effects.wake_at - scene.clock.now())
        scene.clock.set(dispatched.effects.wake_at - timedelta(microseconds=1))
        assert (await scene.promote()).promoted == 0
        scene.clock.set(dispatched.effects.wake_at)
        assert (await scene.promote()).promoted == 1
    assert waits == [timedelta(seconds=2), timedelta(seconds=4)]


@pytest.mark.parametrize("outcome", [failed(retryable=False), failed("Fatal")], ids=["by word", "by type"])
async def test_11_5_59_a_final_failure_is_not_tried_again(scene: Scene, outcome: object) -> None:
    policy = RetryPolicy(max_attempts=9, non_retryable_error_types=("Fatal",))
    registered = await scene.register(workflow("flow", stage("a", retry=policy)))
    run_id = await scene.create("flow")
    [offer] = await scene.lease(await scene.open_session(), registered)
    await scene.report(offer, outcome)  # type: ignore[arg-type]
    assert (await scene.details(run_id)).run.state is RunState.FAILED
    *_, stage_failed, workflow_failed = await scene.events(run_id)
    assert orjson.loads(stage_failed.payload)["terminal"] is True
    assert orjson.loads(workflow_failed.payload)["error"]["stage_id"] == "a"


@pytest.mark.parametrize("last", ["succeeds", "fails"])
async def test_11_5_61_a_sibling_waits_for_the_retry_of_another(scene: Scene, last: str) -> None:
    policy = RetryPolicy(max_attempts=2, initial_backoff=timedelta(seconds=1), jitter=0.0)
    registered = await scene.register(workflow("flow", [stage("a", retry=policy), "b"]))
    run_id = await scene.create("flow")
    session_id = await scene.open_session()
    first, second = await scene.lease(session_id, registered)
    await scene.report(first, failed())
    await scene.report(second, completed(1))
    assert (await scene.details(run_id)).run.state is RunState.RUNNING
    scene.clock.advance(timedelta(seconds=1))
    await scene.promote()
    [again] = await scene.lease(session_id, registered)
    await scene.report(again, completed(1) if last == "succeeds" else failed())
    expected = RunState.COMPLETED if last == "succeeds" else RunState.FAILED
    assert (await scene.details(run_id)).run.state is expected


async def test_11_5_62_siblings_at_one_instant_start_the_next_group_once(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", ["a", "b"], "c"))
    run_id = await scene.create("flow")
    first, second = await scene.lease(await scene.open_session(), registered)
    await asyncio.gather(scene.report(first, completed(1)), scene.report(second, completed(1)))
    assert (await scene.event_types(run_id)).count("run:advanced") == 1
    assert len((await scene.details(run_id)).stages) == 3


async def test_11_5_64_a_validation_error_of_user_code_follows_the_stages_policy(scene: Scene) -> None:
    registered = await scene.register(FLAKY)
    run_id = await scene.create("flow")
    [offer] = await scene.lease(await scene.open_session(), registered)
    await scene.report(offer, failed("ValidationError", "url: not a url"))
    assert (await scene.details(run_id)).run.state is RunState.RUNNING


async def test_11_5_65_the_outcome_and_what_follows_are_one_commit(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a", "b"))
    run_id = await scene.create("flow")
    [offer] = await scene.lease(await scene.open_session(), registered)
    await scene.report(offer, completed(1))
    details = await scene.details(run_id)
    assert (details.run.current_group, [entry.stage.stage_id for entry in details.stages]) == (2, ["a", "b"])
    assert await scene.kernel.dispatch(TransitionRun(run_id)) == RunTransition("noop")
    assert await scene.details(run_id) == details


async def test_the_first_failure_of_a_group_is_the_runs(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", ["a", "b", "c"]))
    run_id = await scene.create("flow")
    a, b, c = await scene.lease(await scene.open_session(), registered)
    await scene.report(b, failed("First", "1", retryable=False))
    await scene.report(a, failed("Second", "2", retryable=False))
    await scene.report(c, completed(1))
    details = await scene.details(run_id)
    assert details.run.error is not None
    assert (details.run.error.code, details.run.error.stage_id, details.run.failed_stages) == (
        "First",
        "b",
        2,
    )
    states = [entry.stage.state for entry in details.stages]
    assert states == [StageState.FAILED, StageState.FAILED, StageState.COMPLETED]


async def test_a_repair_of_an_unknown_run_is_refused(scene: Scene) -> None:
    answer = await scene.kernel.dispatch(TransitionRun(scene.ids.new_id()))
    assert isinstance(answer, Rejection)
    assert answer.reason is Reason.RUN_NOT_FOUND
