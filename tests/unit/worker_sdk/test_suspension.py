"""Stages whose work goes on elsewhere, and their checks."""

from datetime import timedelta
from typing import Any

from stageline_sdk import (
    StillWaiting,
    Suspended,
)
from stageline_sdk._execute import StageRunner
from stageline_sdk._job import Completed, NotReady, WaitsOutside
from tests.unit.worker_sdk.jobs import failure, job, returns
from tests.unit.worker_sdk.samples import ExtractConfig, batch, extract_text
from tests.unit.worker_sdk.sinks import KeepingSink


async def test_a_stage_suspends_and_is_checked(runner: StageRunner) -> None:
    sink = KeepingSink()
    suspended = await runner.run(batch, job(b'{"url": "slow"}'), sink)
    assert suspended == WaitsOutside(b'{"batch_id":"b-slow"}', timedelta(seconds=5), timedelta(hours=2))
    waiting = await runner.run(batch, job(kind="CHECK", state=suspended.state), sink)
    assert waiting == NotReady(timedelta(seconds=9), b'{"batch_id":"b-quick"}')
    assert waiting.state is not None
    done = await runner.run(batch, job(kind="CHECK", state=waiting.state, config=b'{"max_length": 7}'), sink)
    assert done == Completed(b'{"text":"b-quick","word_count":7}')


async def test_an_async_batch_stage_may_answer_at_once(runner: StageRunner) -> None:
    outcome = await runner.run(batch, job(b'{"url": "small"}'), KeepingSink())
    assert outcome == Completed(b'{"text":"small","word_count":1}')


async def test_a_state_that_the_check_cannot_read_is_final(runner: StageRunner) -> None:
    failed = failure(await runner.run(batch, job(kind="CHECK", state=b"{}"), KeepingSink()))
    assert failed.kind == "INVALID_INPUT"
    assert "batch_id: Field required" in failed.message


async def test_suspension_is_for_async_batch_stages_only(runner: StageRunner) -> None:
    for value, message in [
        (Suspended(state={}), 'is not of mode "async-batch"'),
        (StillWaiting(), "only its check function may"),
    ]:
        failed = failure(await runner.run(returns(value, Any), job(), KeepingSink()))
        assert failed.kind == "INVALID_OUTPUT"
        assert message in failed.message


async def test_a_stage_without_a_check_cannot_be_checked(runner: StageRunner) -> None:
    failed = failure(await runner.run(extract_text, job(kind="CHECK", state=b"{}"), KeepingSink()))
    assert "has no check function" in failed.message
    assert failed.retryable is False


async def test_the_config_of_a_check_is_parsed(runner: StageRunner) -> None:
    failed = failure(
        await runner.run(
            batch, job(kind="CHECK", state=b'{"batch_id": "b"}', config=b'{"max_length": -1}'), KeepingSink()
        )
    )
    assert failed.kind == "INVALID_CONFIG"
    assert ExtractConfig.__name__ in failed.message
