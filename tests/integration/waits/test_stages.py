"""What stages of the SDK can do with a real server: suspend, be checked, be resumed, annotate, time out, run again."""

import asyncio
from datetime import timedelta

import pytest

from stageline_sdk import (
    AlreadyExistsError,
    Client,
    Context,
    FailedPreconditionError,
    NoInput,
    NotFoundError,
    PermissionDeniedError,
    RetryableError,
    RetryPolicy,
    StageStatus,
    StillWaiting,
    Suspended,
    SyncClient,
    Worker,
    Workflow,
    stage,
)
from tests.integration.server.running import Server
from tests.integration.waits.conftest import Serve
from tests.waiting import eventually

AT_ONCE = timedelta(0)
SECOND = timedelta(seconds=1)


@stage("batch", mode="async-batch", retry=RetryPolicy(max_attempts=2, initial_backoff=AT_ONCE))
async def batch(ctx: Context[NoInput]) -> str | Suspended:
    """Submits once, and says what it finds of an earlier attempt."""
    ctx.annotate("batch.attempt", ctx.attempt)
    if ctx.resume_state is not None:
        return f"took over {ctx.resume_state['id']} in attempt {ctx.attempt}"
    return Suspended(state={"id": "b-1", "looks": 0}, poll_interval=SECOND, first_check=AT_ONCE)


@batch.check
async def look(ctx: Context[NoInput], state: dict[str, str | int]) -> str | StillWaiting:
    """Finds nothing at first; the second time the provider is down."""
    ctx.annotate("batch.looks", state["looks"])
    if state["looks"] == 0:
        return StillWaiting(next_check=SECOND, state={**state, "looks": 1})
    raise RetryableError("the provider is down", retry_after=AT_ONCE)


@stage("wait", mode="async-batch")
def wait(ctx: Context[NoInput]) -> int | Suspended:
    """Waits for the outside; the token goes by the annotation, for the test to read."""
    ctx.annotate("token", ctx.resume_token("somebody"))
    return Suspended(never_poll=True)


@wait.check
def answer(ctx: Context[NoInput], state: dict[str, int]) -> int | StillWaiting:
    """Knows the answer when it is asked."""
    return 42


@stage("slow", timeout=timedelta(milliseconds=50), retry=RetryPolicy(max_attempts=1))
async def slow(ctx: Context[NoInput]) -> int:
    """Works until it is stopped."""
    await ctx.cancelled
    return 0


batches = Workflow("batches", input=NoInput).pipe(batch).build()
waits = Workflow("waits", input=NoInput).pipe(wait).build()
slows = Workflow("slows", input=NoInput).pipe(slow).build()
brief = Workflow("brief", input=NoInput, run_timeout=timedelta(milliseconds=50)).pipe(wait).build()


async def waiting(client: Client, workflow: object = waits) -> tuple[str, str]:
    """A run whose stage waits, and its token."""
    run = await client.create_run(workflow)  # type: ignore[arg-type]

    async def suspended() -> bool:
        return (await client.get_run(run.id)).stages[0].status is StageStatus.SUSPENDED

    await eventually(suspended, what="the suspension")
    [note] = [each async for each in client.annotations(run.id, key_prefix="token")]
    return run.id, note.value


async def test_a_batch_is_checked_fails_and_is_taken_over(client: Client, serve: Serve) -> None:
    await serve(Worker(batches))
    result = await client.run_and_wait(batches)
    assert (result.status, result.output) == ("COMPLETED", "took over b-1 in attempt 2")
    notes = [(each.key, each.value, each.attempt) async for each in client.annotations(result.run_id)]
    assert notes == [
        ("batch.attempt", 1, 1),
        ("batch.looks", 0, 1),
        ("batch.looks", 1, 1),
        ("batch.attempt", 2, 2),
    ]


async def test_a_client_resumes_with_an_output_once(client: Client, serve: Serve) -> None:
    await serve(Worker(waits))
    run_id, token = await waiting(client)
    with pytest.raises(PermissionDeniedError) as raised:
        await client.resume_stage(run_id, "wait", "another token", output=1)
    assert raised.value.reason == "RESUME_TOKEN_INVALID"
    for _ in range(2):
        assert (await client.resume_stage(run_id, "wait", token, output=1)).status == "COMPLETED"
    with pytest.raises(PermissionDeniedError):
        await client.resume_stage(run_id, "wait", token, failure="no")
    with pytest.raises(ValueError, match="exactly one"):
        await client.resume_stage(run_id, "wait", token)


async def test_a_check_now_asks_the_stage_itself(client: Client, serve: Serve) -> None:
    await serve(Worker(waits))
    run_id, token = await waiting(client)
    await client.resume_stage(run_id, "wait", token, check_now=True)
    assert (await client.wait_for_run(run_id)).output == 42


async def test_a_run_is_run_again_by_the_blocking_client(
    server: Server, client: Client, serve: Serve
) -> None:
    await serve(Worker(waits))
    run_id, token = await waiting(client)
    await client.resume_stage(run_id, "wait", token, output=1)

    def again() -> list[object]:
        with SyncClient(server.application.address) as blocking:
            first = blocking.rerun_run(run_id, "wait", reason="once more", request_id="r-1")
            repeat = blocking.rerun_run(run_id, "wait", reason="once more", request_id="r-1")
            with pytest.raises(AlreadyExistsError):
                blocking.rerun_run(run_id, "wait", reason="another", request_id="r-1")
            with pytest.raises(FailedPreconditionError):
                blocking.rerun_run(run_id, "wait")
            with pytest.raises(NotFoundError):
                blocking.rerun_run("01920000-0000-7000-8000-000000000000")
            names = [worker.held_jobs >= 0 for worker in blocking.list_workers()]
            return [first.rerun_count, repeat.rerun_count, names]

    assert await asyncio.to_thread(again) == [1, 1, [True]]

    async def second_token() -> str | None:
        notes = [each async for each in client.annotations(run_id, key_prefix="token")]
        return notes[1].value if len(notes) == 2 else None

    token = str(await eventually(second_token, what="the second token"))

    async def resumed() -> bool:
        try:
            await client.resume_stage(run_id, "wait", token, output=2)
        except (FailedPreconditionError, PermissionDeniedError):
            return False  # the suspension itself is not recorded yet
        return True

    await eventually(resumed, what="the resume")
    assert (await client.wait_for_run(run_id)).output == 2


async def test_a_stage_that_takes_too_long_is_stopped_and_says_why(client: Client, serve: Serve) -> None:
    await serve(Worker(slows))
    result = await client.run_and_wait(slows)
    assert result.error is not None
    assert (result.status, result.error.kind) == ("FAILED", "TIMED_OUT")


async def test_a_run_that_takes_too_long_fails_while_it_waits(client: Client, serve: Serve) -> None:
    await serve(Worker(brief))
    result = await client.run_and_wait(brief)
    assert result.error is not None
    assert (result.status, result.error.type) == ("FAILED", "RUN_TIMED_OUT")
