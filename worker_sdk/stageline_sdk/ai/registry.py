"""Which models there are, where they are served, and with what keys."""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping

from stageline_sdk.ai.errors import MissingExtraError, MissingKeyError, UnknownModelError
from stageline_sdk.ai.models import PROVIDERS, AiModel, ModelPrices, Resolver
from stageline_sdk.errors import DefinitionError
from stageline_sdk.presets import AI_MODEL_DEFAULT

PRICES_URL = (
    "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json"
)
"""Where the project of the list of prices keeps it up to date."""

_NEAR_MAX = 3

DEFAULT_MODELS: tuple[AiModel, ...] = (
    *(
        AiModel(key=key, provider="google")
        for key in ("gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro")
    ),
    *(AiModel(key=key, provider="openai") for key in ("gpt-5", "gpt-5-mini", "gpt-5-nano")),
    *(
        AiModel(key=key, provider="anthropic")
        for key in ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5")
    ),
    AiModel(key="gemini-embedding-001", provider="google", is_embedding=True),
    *(
        AiModel(key=key, provider="openai", is_embedding=True)
        for key in ("text-embedding-3-small", "text-embedding-3-large")
    ),
)
"""What a registry has without being told. Their prices are those of the installed list."""


class ModelRegistry:
    """The models that AI calls can name. A value: it is given to `Worker`, `LocalHost`, `run_local` or `StageEnvironment`.

    Example:
        models = ModelRegistry(
            [AiModel(key="house", provider="openai-compatible", model_id="llama-4", base_url="http://gpu:8000/v1")]
        )
        worker = Worker(workflow, models=models)

    Attributes:
        default: The key that a call without a model means, where the stage's config names none either.
        resolvers: Providers of your own, by name.
        prices_url: Where the list of prices is fetched from; empty for nowhere.
    """

    def __init__(
        self,
        models: Iterable[AiModel] = (),
        *,
        resolvers: Mapping[str, Resolver] | None = None,
        base_urls: Mapping[str, str] | None = None,
        api_keys: Mapping[str, str] | None = None,
        default: str = AI_MODEL_DEFAULT,
        with_default_models: bool = True,
        prices_url: str = "",
    ) -> None:
        """Make a registry.

        Args:
            models: Models of your own. One with the key of a default model takes its place.
            resolvers: Providers of your own, by name. One with the name of a built-in provider takes its place. In a
                stage that runs in a process of its own it must be possible to pickle them: functions of a module.
            base_urls: Where providers are, by name; goes before the environment's `OPENAI_BASE_URL` and its like.
            api_keys: API keys, by provider; goes before the environment's `OPENAI_API_KEY` and its like.
            default: The key that a call without a model means, where the stage's config names none either.
            with_default_models: Whether it also has `DEFAULT_MODELS`.
            prices_url: Where to fetch the list of prices from, in the background, with a worker's first AI call and every
                hour; `PRICES_URL` is where its project keeps it. Default: nothing is fetched, and the installed list counts.

        Raises:
            DefinitionError: Two models share a key, or a model's provider is not known and has no resolver.
        """
        self.resolvers: Mapping[str, Resolver] = dict(resolvers or {})
        self.default = default
        self.prices_url = prices_url
        self._base_urls = dict(base_urls or {})
        self._api_keys = dict(api_keys or {})
        own: dict[str, AiModel] = {}
        for model in models:
            if model.key in own:
                raise DefinitionError(f"two models of the registry share the key {model.key!r}")
            if model.provider not in PROVIDERS and model.provider not in self.resolvers:
                raise DefinitionError(
                    f"model {model.key!r}: there is no provider {model.provider!r}. Built in are "
                    f"{', '.join(PROVIDERS)}; for another one give the registry a resolver: "
                    f'ModelRegistry(..., resolvers={{"{model.provider}": my_resolver}})'
                )
            own[model.key] = model
        defaults = {model.key: model for model in DEFAULT_MODELS} if with_default_models else {}
        self._models: Mapping[str, AiModel] = {**defaults, **own}

    def get(self, key: str) -> AiModel:
        """Return the model of a key.

        Raises:
            UnknownModelError: There is none; it names those that look like it.
        """
        model = self._models.get(key)
        if model is not None:
            return model
        near = difflib.get_close_matches(key, self._models, n=_NEAR_MAX, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {', '.join(self._models)}"
        )
        raise UnknownModelError(
            f"the model registry has no {key!r}: {hint} A model of your own is added with "
            f"ModelRegistry([AiModel(key={key!r}, provider=...)])",
            key=key,
            near=near,
        )

    def prices(self, key: str) -> ModelPrices | None:
        """Return what a model costs: the registered prices, else those of the list for requests of usual length.

        Returns:
            None where the list does not have it.

        Raises:
            UnknownModelError: The registry does not have it.
            MissingExtraError: The list is not installed.
        """
        model = self.get(key)
        if model.prices is not None:
            return model.prices
        try:
            from stageline_sdk.ai._backend.price_list import listed_prices  # noqa: PLC0415 - heavy
        except ImportError as error:
            raise MissingExtraError(
                "the list of prices is not installed: pip install 'stageline[ai]'", extra="ai"
            ) from error
        return listed_prices(model.provider, model.model_id)

    def __iter__(self) -> Iterator[AiModel]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)

    def __contains__(self, key: object) -> bool:
        return key in self._models

    def base_url(self, model: AiModel, provider: str) -> str | None:
        """Return where a provider serves a model; None for the provider's own address.

        Args:
            model: The model.
            provider: The model's provider, or the one of its batches.
        """
        if model.base_url and provider == model.provider:
            return model.base_url
        info = PROVIDERS.get(provider)
        variable = info.base_url_variable if info is not None else ""
        return self._base_urls.get(provider) or os.environ.get(variable) or None

    def api_key(self, model: AiModel, provider: str) -> str | None:
        """Return the API key for a model; None for an endpoint that needs none.

        Args:
            model: The model.
            provider: The model's provider, or the one of its batches.

        Raises:
            MissingKeyError: There is none; it names the variables to set.
        """
        given = self._api_keys.get(provider)
        if given:
            return given
        info = PROVIDERS.get(provider)
        own = (model.key_variable,) if model.key_variable and provider == model.provider else ()
        variables = own or (info.key_variables if info is not None else ())
        found = next((os.environ[each] for each in variables if os.environ.get(each)), None)
        if found is None and variables:
            raise MissingKeyError(
                f"model {model.key!r} needs an API key of {provider}: set the environment variable "
                f"{' or '.join(variables)} where the worker runs, or give it to the registry: "
                f'ModelRegistry(api_keys={{"{provider}": ...}})',
                variables=variables,
            )
        return found

    def __repr__(self) -> str:
        """Name the models; never the keys."""
        return f"ModelRegistry({', '.join(self._models)})"


DEFAULT_REGISTRY = ModelRegistry()
"""What is used where none is given. A value: it cannot be changed."""
