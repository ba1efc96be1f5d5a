"""`ctx.submit_once` through the whole of a control plane: a crash at every point of a submit, and what is paid."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from stageline_sdk import Context, NoInput, RetryPolicy, Stage, Workflow, stage
from tests.integration.local.conftest import MakeHost

AT_ONCE = RetryPolicy(max_attempts=3, initial_backoff=timedelta(0), max_backoff=timedelta(0), jitter=0)


@dataclass
class Provider:
    """What was bought, and where the first try crashes."""

    crash_at: str = ""
    bought: list[str] = field(default_factory=list)

    def crash(self, point: str) -> None:
        if self.crash_at == point:
            self.crash_at = ""
            raise ConnectionError(f"crashed {point}")

    def submit(self, key: str) -> str:
        self.crash("before the call")
        self.bought.append(key)
        self.crash("after the call, before its reply")
        return f"batch {len(self.bought)}"

    def look_up(self, key: str) -> str | None:
        return f"batch {self.bought.index(key) + 1}" if key in self.bought else None


NOW = Provider()
CRASHES = ["", "before the call", "after the call, before its reply", "after the reply"]


async def _submit(key: str) -> str:
    return NOW.submit(key)


async def _look_up(key: str) -> str | None:
    return NOW.look_up(key)


@stage("on-loop", retry=AT_ONCE)
async def on_loop(ctx: Context[NoInput]) -> str:
    reference = await ctx.submit_once("prompts", _submit, _look_up)
    NOW.crash("after the reply")
    return reference


@stage("in-thread", retry=AT_ONCE)
def in_thread(ctx: Context[NoInput]) -> str:
    reference = ctx.submit_once_sync("prompts", NOW.submit, NOW.look_up)
    NOW.crash("after the reply")
    return reference


@stage("blind", retry=AT_ONCE)
async def blind(ctx: Context[NoInput]) -> str:
    return await ctx.submit_once("prompts", _submit)


@pytest.mark.parametrize("crash_at", CRASHES)
@pytest.mark.parametrize("which", [on_loop, in_thread], ids=lambda which: which.id)
async def test_a_crash_at_any_point_buys_once(
    make_host: MakeHost, which: Stage[Any, Any, Any], crash_at: str
) -> None:
    NOW.crash_at, NOW.bought = crash_at, []
    workflow = Workflow("buying", input=NoInput).pipe(which).build()
    async with make_host(workflow) as host:
        result = await host.run_and_wait()

    assert (result.status, result.output, len(NOW.bought)) == ("COMPLETED", "batch 1", 1)
    (submission,) = result.stages[0].submissions
    assert (submission.phase, submission.reference) == ("CONFIRMED", "batch 1")
    assert result.stages[0].attempt == (2 if crash_at else 1)


async def test_what_nobody_can_look_up_fails_the_stage_and_is_shown(make_host: MakeHost) -> None:
    NOW.crash_at, NOW.bought = "after the call, before its reply", []
    async with make_host(Workflow("buying", input=NoInput).pipe(blind).build()) as host:
        result = await host.run_and_wait()
        events = [event.type async for event in host.client.watch_run(result.run_id)]

    assert (result.status, len(NOW.bought)) == ("FAILED", 1)
    assert result.error is not None
    assert "SuspectedOrphanError" in str(result.error)
    (submission,) = result.stages[0].submissions
    assert (submission.phase, submission.key) == ("SUSPECTED", NOW.bought[0])
    assert events.count("stage:orphan_suspected") == 1
    assert result.stages[0].attempt == 2, "a third attempt could not know more"
