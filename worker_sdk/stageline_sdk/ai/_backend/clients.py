"""Clients of providers, for one event loop: made with the first call, kept, closed with the loop's work."""

import asyncio
import contextlib
from typing import Any, cast

from pydantic_ai.embeddings import EmbeddingModel
from pydantic_ai.models import Model
from pydantic_ai.providers import Provider

from stageline_sdk.ai._backend.providers import (
    build_embedding_model,
    build_model,
    build_provider,
    load_libraries,
)
from stageline_sdk.ai.errors import UnusableModelError
from stageline_sdk.ai.models import AiModel, BatchRoute
from stageline_sdk.ai.registry import ModelRegistry


class LoopClients:
    """What calls models on one event loop. A client's connections belong to the loop that opened them."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._resolved: dict[tuple[str, str, str], Model | EmbeddingModel] = {}
        self._providers: dict[tuple[str, str | None, str | None], Provider[Any]] = {}
        self._open = contextlib.AsyncExitStack()

    async def writer(self, model: AiModel) -> Model:
        """Return what writes texts with a model.

        Raises:
            MissingExtraError: Its provider's library is not installed.
            MissingKeyError: There is no API key for it.
            UnusableModelError: It is an embedding model.
        """
        if model.is_embedding:
            raise UnusableModelError(
                f"model {model.key!r} is an embedding model, which cannot write: use embed()"
            )
        return cast("Model", await self._model(model, BatchRoute(model.provider, model.model_id), Model))

    async def embedder(self, model: AiModel) -> EmbeddingModel:
        """Return what turns texts into vectors with a model. Raises as `writer`."""
        if not model.is_embedding:
            raise UnusableModelError(
                f"model {model.key!r} is no embedding model: register it with is_embedding=True if it is one"
            )
        route = BatchRoute(model.provider, model.model_id)
        return cast("EmbeddingModel", await self._model(model, route, EmbeddingModel))

    async def batcher(self, model: AiModel) -> Model:
        """Return what runs batches of a model. Raises as `writer`, and where nobody runs batches of it."""
        route = model.batch_route
        if route is None:
            raise UnusableModelError(
                f"model {model.key!r} of {model.provider} has no batch interface: name one of OpenAI, Anthropic or "
                "Google, or say by whom its batches are run: AiModel(..., batch=BatchRoute(provider, model_id))"
            )
        return cast("Model", await self._model(model, route, Model))

    async def close(self) -> None:
        """Close the connections; to be called on the loop that they were made on."""
        self._resolved.clear()
        self._providers.clear()
        await self._open.aclose()

    async def _model(self, model: AiModel, route: BatchRoute, kind: type[Any]) -> Model | EmbeddingModel:
        key = (model.key, route.provider, route.model_id)
        known = self._resolved.get(key)
        if known is None:
            known = await self._resolve(model, route)
            if not isinstance(known, kind):
                raise UnusableModelError(
                    f"the resolver of provider {route.provider!r} returned {type(known).__name__} for model "
                    f"{model.key!r}, which needs a {kind.__module__}.{kind.__name__}"
                )
            self._resolved[key] = known
        return known

    async def _resolve(self, model: AiModel, route: BatchRoute) -> Model | EmbeddingModel:
        resolver = self._registry.resolvers.get(route.provider)
        if resolver is not None:
            return resolver(model)
        self._registry.api_key(model, route.provider)  # A missing one is told before anything else is tried.
        # It takes seconds with some, which must not hold up the loop.
        await asyncio.to_thread(load_libraries, route.provider, embeds=model.is_embedding)
        provider = await self._provider(model, route.provider)
        if model.is_embedding:
            return build_embedding_model(route, provider)
        return build_model(route, provider)

    async def _provider(self, model: AiModel, name: str) -> Provider[Any]:
        base_url, api_key = self._registry.base_url(model, name), self._registry.api_key(model, name)
        known = self._providers.get((name, base_url, api_key))
        if known is None:
            known = build_provider(name, base_url=base_url, api_key=api_key)
            await self._open.enter_async_context(known)
            self._providers[name, base_url, api_key] = known
        return known
