"""A worker whose stage submits a batch, and which is killed where a file says so: before the call, or before its reply is read."""

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from openai import AsyncOpenAI
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from stageline_sdk import Context, NoInput, Worker, Workflow
from stageline_sdk.ai import AiModel, BatchResults, ModelRegistry, ai_batch_stage

CRASH_AT = "BATCH_CRASH_AT"
"""The variable that names the file; it says `request` or `response`, and is taken away by the crash."""


def questions(ctx: Context[list[str]]) -> dict[str, str]:
    """Asks what the run says."""
    return {prompt: prompt for prompt in ctx.input}


@ai_batch_stage(
    "ask",
    str,
    prompts=questions,
    model="gpt-5-mini",
    poll_interval=timedelta(seconds=1),
    look_again_after=timedelta(0),
)
async def ask(ctx: Context[NoInput], results: BatchResults[str]) -> dict[str, str]:
    """Returns the answers."""
    return dict(results.outputs)


def _crash_if_told(request: httpx2.Request, at: str) -> None:
    told = Path(os.environ[CRASH_AT])
    is_submission = request.method == "POST" and request.url.path.endswith("/batches")
    if is_submission and told.exists() and told.read_text() == at:
        told.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


async def _before_the_call(request: httpx2.Request) -> None:
    _crash_if_told(request, "request")


async def _before_the_reply_is_read(response: Any) -> None:
    _crash_if_told(response.request, "response")


def _connect(model: AiModel) -> Model:
    hooks: dict[str, list[Callable[..., Any]]] = {
        "request": [_before_the_call],
        "response": [_before_the_reply_is_read],
    }
    client = AsyncOpenAI(http_client=httpx2.AsyncClient(event_hooks=hooks))
    return OpenAIResponsesModel(model.model_id, provider=OpenAIProvider(openai_client=client))


worker = Worker(
    Workflow("asker", input=list[str]).pipe(ask).build(), models=ModelRegistry(resolvers={"openai": _connect})
)
