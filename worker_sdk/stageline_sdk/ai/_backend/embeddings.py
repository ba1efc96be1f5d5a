"""Texts as vectors."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from pydantic_ai.embeddings import EmbeddingModel, EmbeddingResult, EmbeddingSettings
from pydantic_ai.exceptions import ModelRequestTimeout

from stageline_sdk.ai._backend.dry_run import dry_embedder
from stageline_sdk.ai._backend.failures import translated
from stageline_sdk.ai._backend.metering import Meter, with_retries
from stageline_sdk.ai._backend.recording import Entry
from stageline_sdk.ai._scope import AiScope
from stageline_sdk.ai.options import EmbedOptions
from stageline_sdk.ai.records import UsageRecord
from stageline_sdk.ai.results import EmbedResult


async def embed(
    scope: AiScope,
    record: Callable[[UsageRecord], None],
    topic: str,
    texts: Sequence[str],
    options: EmbedOptions,
) -> EmbedResult:
    """Turn texts into vectors, in one request."""
    model = scope.model(options.get("model"))
    embedder = await _embedder(scope, options)
    entry = Entry(
        record=record,
        meter=Meter(model, is_dry=scope.is_dry_run),
        topic=topic,
        call_type="embed",
        prompt=list(texts),
        metadata={"texts": len(texts), **options.get("metadata", {})},
        contents=options.get("contents"),
    )
    settings = _settings(options)

    async def send() -> EmbeddingResult:
        timeout = options.get("timeout")
        seconds = None if timeout is None else timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await embedder.embed(
                    texts, input_type=options.get("purpose", "document"), settings=settings
                )
        except TimeoutError as error:
            raise ModelRequestTimeout(model.model_id, seconds or 0) from error

    try:
        result = await with_retries(send, entry.meter, scope.retries_max(options.get("max_retries")))
    except BaseException as error:
        said = translated(error, model.key) if isinstance(error, Exception) else error
        entry.book(error=said)
        if said is error:
            raise
        raise said from error
    entry.meter.answered(result)
    dimensions = len(result.embeddings[0]) if result.embeddings else 0
    entry.book({"vectors": len(result.embeddings), "dimensions": dimensions})
    return EmbedResult(vectors=result.embeddings, model_id=entry.model_id, usage=entry.usage())


async def _embedder(scope: AiScope, options: EmbedOptions) -> EmbeddingModel:
    if scope.is_dry_run:
        return dry_embedder()
    return await (await scope.runtime.clients()).embedder(scope.model(options.get("model")))


def _settings(options: EmbedOptions) -> EmbeddingSettings:
    settings: dict[str, Any] = {}
    if "dimensions" in options:
        settings["dimensions"] = options["dimensions"]
    return cast("EmbeddingSettings", settings | dict(options.get("provider_options", {})))
