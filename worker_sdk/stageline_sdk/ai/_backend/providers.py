"""From a provider's name to its client, and from a model's id to what calls it.

Each import is inside its function: a provider's library costs a second or two, and only the one that is used is needed.
"""

import importlib
from typing import Any

from pydantic_ai.embeddings import EmbeddingModel
from pydantic_ai.models import Model
from pydantic_ai.providers import Provider

from stageline_sdk.ai._imports import import_alone
from stageline_sdk.ai.errors import MissingExtraError, UnusableModelError
from stageline_sdk.ai.models import PROVIDERS, BatchRoute

_PROVIDERS = {
    "openai": ("pydantic_ai.providers.openai", "OpenAIProvider"),
    "openai-compatible": ("pydantic_ai.providers.openai_compatible", "OpenAICompatibleProvider"),
    "openrouter": ("pydantic_ai.providers.openrouter", "OpenRouterProvider"),
    "anthropic": ("pydantic_ai.providers.anthropic", "AnthropicProvider"),
    "google": ("pydantic_ai.providers.google", "GoogleProvider"),
}
_WRITERS = {
    "openai": ("pydantic_ai.models.openai", "OpenAIResponsesModel"),
    "openai-compatible": ("pydantic_ai.models.openai", "OpenAIChatModel"),
    "openrouter": ("pydantic_ai.models.openrouter", "OpenRouterModel"),
    "anthropic": ("pydantic_ai.models.anthropic", "AnthropicModel"),
    "google": ("pydantic_ai.models.google", "GoogleModel"),
}
_EMBEDDERS = {
    "openai": ("pydantic_ai.embeddings.openai", "OpenAIEmbeddingModel"),
    "openai-compatible": ("pydantic_ai.embeddings.openai", "OpenAIEmbeddingModel"),
    "openrouter": ("pydantic_ai.embeddings.openai", "OpenAIEmbeddingModel"),
    "google": ("pydantic_ai.embeddings.google", "GoogleEmbeddingModel"),
}


def load_libraries(name: str, *, embeds: bool) -> None:
    """Import what calls of a provider need; for a thread.

    Raises:
        MissingExtraError: It is not installed.
        UnusableModelError: The provider has no embedding models, and one is needed.
    """
    if embeds and name not in _EMBEDDERS:
        raise UnusableModelError(f"{name} serves no embedding models")
    model_module, _ = (_EMBEDDERS if embeds else _WRITERS)[name]
    try:
        import_alone(_PROVIDERS[name][0], model_module)
    except ImportError as error:
        raise _missing(name, error) from error


def build_provider(name: str, *, base_url: str | None, api_key: str | None) -> Provider[Any]:
    """Return a client of a built-in provider, which has its own connections.

    Raises:
        MissingExtraError: Its library is not installed.
    """
    if name == "openai-compatible":
        compatible: Provider[Any] = _load(name, *_PROVIDERS[name])(name, base_url=base_url, api_key=api_key)
        return compatible
    if name == "openrouter":
        return _open_router(base_url, api_key)
    provider: Provider[Any] = _load(name, *_PROVIDERS[name])(base_url=base_url, api_key=api_key)
    return provider


def build_model(route: BatchRoute, provider: Provider[Any]) -> Model:
    """Return what calls a model that writes."""
    model: Model = _load(route.provider, *_WRITERS[route.provider])(route.model_id, provider=provider)
    return model


def build_embedding_model(route: BatchRoute, provider: Provider[Any]) -> EmbeddingModel:
    """Return what calls an embedding model."""
    model: EmbeddingModel = _load(route.provider, *_EMBEDDERS[route.provider])(
        route.model_id, provider=provider
    )
    return model


def _open_router(base_url: str | None, api_key: str | None) -> Provider[Any]:
    kind = _load("openrouter", *_PROVIDERS["openrouter"])
    if base_url is None:
        usual: Provider[Any] = kind(api_key=api_key)
        return usual
    # The provider takes no address as an argument, and reads its own property once.
    elsewhere: Provider[Any] = type(kind.__name__, (kind,), {"base_url": property(lambda _self: base_url)})(
        api_key=api_key
    )
    return elsewhere


def _load(provider: str, module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise _missing(provider, error) from error


def _missing(provider: str, error: ImportError) -> MissingExtraError:
    extra = PROVIDERS[provider].extra
    return MissingExtraError(
        f"calls of {provider} need its library: pip install 'stageline[{extra}]' ({error})", extra=extra
    )
