"""The conformance worker in Python: what `stageline conformance` drives. docs/conformance-worker.md describes its stages.

stageline conformance --worker "python -m examples.conformance_worker"
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from stageline_sdk import (
    Context,
    NonRetryableError,
    RetryableError,
    StillWaiting,
    Suspended,
    Worker,
    Workflow,
    stage,
)
from stageline_sdk.ai import UsageRecord

ANY_JSON: Any = Any
LOOK_EVERY = timedelta(milliseconds=10)


class Greeting(BaseModel):
    greeting: str = "hello"


class Failing(BaseModel):
    message: str
    repeat: int = 1
    retryable: bool | None = None
    retry_after_ms: int | None = None


class Gated(BaseModel):
    path: str


class Required(BaseModel):
    stage_ids: list[str]


class Big(BaseModel):
    bytes_: int = Field(alias="bytes")


class Counted(BaseModel):
    count: int


class Suspending(BaseModel):
    state: dict[str, Any]
    poll_interval_ms: int = 30_000
    max_wait_ms: int = 60_000
    first_check_ms: int | None = None
    never_poll: bool = False
    tokens: list[str] = []


class Note(BaseModel):
    key: str
    value: Any


class Speech(BaseModel):
    message: str = ""
    lines: int = 0
    fields: dict[str, Any] = {}
    progress: list[float] = []
    annotations: list[Note] = []
    path: str | None = None


class Called(BaseModel):
    topic: str
    input_tokens: int
    path: str | None = None


@stage("echo")
async def echo(ctx: Context[Any]) -> Any:
    return ctx.input


@stage("describe")
async def describe(ctx: Context[Any, Greeting]) -> dict[str, Any]:
    return {
        "run_id": ctx.run_id,
        "workflow_name": ctx.workflow_name,
        "workflow_version": ctx.workflow_version,
        "stage_id": ctx.stage_id,
        "generation": ctx.generation,
        "attempt": ctx.attempt,
        "delivery": ctx.delivery,
        "has_deadline": ctx.deadline is not None,
        "is_past_deadline": ctx.deadline is not None and ctx.deadline < datetime.now(UTC),
        "greeting": ctx.config.greeting,
        "resume_state": ctx.resume_state,
    }


@stage("fail")
async def fail(ctx: Context[Failing]) -> None:
    message = ctx.input.message * ctx.input.repeat
    if ctx.input.retryable is None:
        raise ValueError(message)
    if not ctx.input.retryable:
        raise NonRetryableError(message)
    wait = ctx.input.retry_after_ms
    raise RetryableError(message, retry_after=None if wait is None else timedelta(milliseconds=wait))


@stage("wait")
async def wait(ctx: Context[Gated]) -> dict[str, bool]:
    await _gate(ctx.input.path)
    return {"waited": True}


@stage("stubborn")
def stubborn(ctx: Context[Gated]) -> dict[str, bool]:
    """Wait like `wait`, and never ask whether it should go on."""
    _enter(ctx.input.path)
    while not Path(ctx.input.path).exists():
        time.sleep(LOOK_EVERY.total_seconds())
    return {"waited": True}


@stage("require")
def require(ctx: Context[Required]) -> dict[str, Any]:
    return {stage_id: ctx.require(stage_id) for stage_id in ctx.input.stage_ids}


@stage("big")
async def big(ctx: Context[Big]) -> str:
    return "x" * ctx.input.bytes_


@stage("typed")
async def typed(ctx: Context[Counted]) -> Counted:
    return Counted(count=ctx.input.count + 1)


@stage("suspend", mode="async-batch")
async def suspend(ctx: Context[Suspending]) -> Any | Suspended:
    asked = ctx.input
    tokens = [ctx.resume_token(label) for label in asked.tokens]
    return Suspended(
        state={**asked.state, "tokens": tokens} if tokens else asked.state,
        poll_interval=timedelta(milliseconds=asked.poll_interval_ms),
        max_wait=timedelta(milliseconds=asked.max_wait_ms),
        first_check=None if asked.first_check_ms is None else timedelta(milliseconds=asked.first_check_ms),
        never_poll=asked.never_poll,
    )


@suspend.check
async def check(ctx: Context[Any], state: dict[str, Any]) -> Any | StillWaiting:
    if state["answer"] == "fail":
        raise ValueError("the work elsewhere failed")
    if state["answer"] == "ready":
        return state["output"]
    delay = state.get("next_check_ms")
    return StillWaiting(
        next_check=None if delay is None else timedelta(milliseconds=delay), state=state.get("state")
    )


@stage("speak")
async def speak(ctx: Context[Speech]) -> dict[str, Any]:
    for number in range(ctx.input.lines):
        ctx.log.info(ctx.input.message, **(ctx.input.fields or {"number": number}))
    for note in ctx.input.annotations:
        ctx.annotate(note.key, note.value)
    for fraction in ctx.input.progress:
        ctx.progress(fraction, ctx.input.message)
    if ctx.input.path is not None:
        await _gate(ctx.input.path)
    return {}


@stage("usage")
async def usage(ctx: Context[Called]) -> dict[str, Any]:
    ctx.ai.record(UsageRecord(topic=ctx.input.topic, input_tokens=ctx.input.input_tokens))
    if ctx.input.path is not None:
        await _gate(ctx.input.path)
    return {}


async def _gate(path: str) -> None:
    """Wait until a file exists, and say that the wait has begun."""
    _enter(path)
    while not Path(path).exists():  # noqa: ASYNC110, ASYNC240 - another process makes the file
        await asyncio.sleep(LOOK_EVERY.total_seconds())


def _enter(path: str) -> None:
    Path(f"{path}.entered").touch()


workflow = (
    Workflow("conformance", input=ANY_JSON)
    .parallel(echo, describe, fail, wait, stubborn, require, big, typed, suspend, speak, usage)
    .build()
)
worker = Worker(workflow, concurrency=4, name="conformance-python", drain_timeout=timedelta(seconds=3))

if __name__ == "__main__":
    worker.run_forever()
