"""Stages whose work goes on elsewhere, and their checks."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest

from stageline_sdk import Context, NoInput, StillWaiting, Suspended, stage
from stageline_sdk._execute import StageRunner
from stageline_sdk._job import Completed, NotReady, ResumeToken, WaitsOutside
from stageline_sdk._reports import report_of
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


async def test_tokens_go_with_the_suspension_and_only_their_hashes(runner: StageRunner) -> None:
    given: list[str] = []

    @stage("approve", mode="async-batch")
    def approve(ctx: Context[NoInput]) -> int | Suspended:
        given.append(ctx.resume_token("finance", expire_after=timedelta(hours=1)))
        given.append(ctx.resume_token())
        return Suspended(never_poll=True, first_check=timedelta(seconds=1))

    @approve.check
    def look(ctx: Context[NoInput], state: dict[str, int]) -> StillWaiting:
        return StillWaiting()

    outcome = await runner.run(approve, job(), KeepingSink())
    assert isinstance(outcome, WaitsOutside)
    assert (outcome.never_poll, outcome.state, outcome.first_check) == (True, b"{}", timedelta(seconds=1))
    hashes = [hashlib.sha256(token.encode()).digest() for token in given]
    assert outcome.tokens == (
        ResumeToken(hashes[0], "finance", timedelta(hours=1)),
        ResumeToken(hashes[1]),
    )
    assert len(set(given)) == 2
    assert all(len(token) >= 43 for token in given)
    report = report_of(b"lease", outcome)
    assert report is not None
    assert [each.token_sha256 for each in report.suspended.resume_conditions] == hashes
    assert not any(token.encode() in report.SerializeToString() for token in given)


async def test_a_wait_that_nothing_could_end_is_refused(runner: StageRunner) -> None:
    @stage("approve", mode="async-batch")
    def approve(ctx: Context[NoInput]) -> int | Suspended:
        return Suspended(never_poll=True)

    @approve.check
    def look(ctx: Context[NoInput], state: dict[str, int]) -> StillWaiting:
        return StillWaiting()

    failed = failure(await runner.run(approve, job(), KeepingSink()))
    assert (failed.kind, failed.retryable) == ("INVALID_OUTPUT", False)
    assert "ctx.resume_token()" in failed.message


async def test_tokens_are_bounded(runner: StageRunner) -> None:
    @stage("approve")
    def approve(ctx: Context[NoInput]) -> int:
        for wrong in (
            {"label": "x" * 256},
            {"expire_after": timedelta(0)},
            {"expire_after": timedelta(days=367)},
        ):
            with pytest.raises(ValueError, match="at most"):
                ctx.resume_token(**wrong)
        for _ in range(10):
            ctx.resume_token()
        with pytest.raises(ValueError, match="at most 10 resume tokens"):
            ctx.resume_token()
        return 1

    assert await runner.run(approve, job(), KeepingSink()) == Completed(b"1")


async def test_an_attempt_after_a_suspension_finds_its_state(runner: StageRunner) -> None:
    @stage("again")
    def again(ctx: Context[NoInput]) -> Any:
        return ctx.resume_state

    assert await runner.run(again, job(state=b'{"id":7}'), KeepingSink()) == Completed(b'{"id":7}')
    assert await runner.run(again, job(), KeepingSink()) == Completed(b"null")
