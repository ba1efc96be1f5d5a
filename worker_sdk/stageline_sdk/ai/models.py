"""What a model is to a registry: its key, who serves it, what it costs."""

from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from stageline_sdk.errors import DefinitionError

if TYPE_CHECKING:
    from pydantic_ai.embeddings import EmbeddingModel
    from pydantic_ai.models import Model

KEY_LENGTH_MAX = 255
_PROVIDER_LENGTH_MAX = 63


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """A provider that is built in.

    Attributes:
        extra: The extra of this distribution that brings its library.
        key_variables: Environment variables that may hold its API key, in the order they are looked at.
        base_url_variable: Environment variable that may say where it is.
        has_batches: Whether its batch interface can be used.
    """

    extra: str
    key_variables: tuple[str, ...]
    base_url_variable: str
    has_batches: bool = False


PROVIDERS = MappingProxyType(
    {
        "openai": ProviderInfo("openai", ("OPENAI_API_KEY",), "OPENAI_BASE_URL", has_batches=True),
        "anthropic": ProviderInfo(
            "anthropic", ("ANTHROPIC_API_KEY",), "ANTHROPIC_BASE_URL", has_batches=True
        ),
        "google": ProviderInfo(
            "google", ("GOOGLE_API_KEY", "GEMINI_API_KEY"), "GOOGLE_GEMINI_BASE_URL", has_batches=True
        ),
        "openrouter": ProviderInfo("openai", ("OPENROUTER_API_KEY",), "OPENROUTER_BASE_URL"),
        "openai-compatible": ProviderInfo("openai", (), ""),
    }
)
"""Providers that need no resolver. `openai` speaks the Responses interface, `openai-compatible` the chat one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrices:
    """Prices of your own, in US dollars for a million tokens.

    Attributes:
        input: Of input tokens.
        output: Of output tokens, reasoning ones included. Default: 0, as for embeddings.
        cached_input: Of input tokens that the provider had in its cache. Default: as `input`.
        batch_discount: What a batch takes off, as a fraction: `Decimal("0.5")` halves the price. Default: 0.
    """

    input: Decimal
    output: Decimal = Decimal(0)
    cached_input: Decimal | None = None
    batch_discount: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        """Check the prices.

        Raises:
            DefinitionError: One is no Decimal of 0 or more, or the discount is more than 1.
        """
        for name in ("input", "output", "cached_input", "batch_discount"):
            value = getattr(self, name)
            is_unset = value is None and name == "cached_input"
            if not is_unset and not (isinstance(value, Decimal) and value.is_finite() and value >= 0):
                raise DefinitionError(f"{name} must be a Decimal of 0 or more, got {value!r}")
        if self.batch_discount > 1:
            raise DefinitionError(f"batch_discount is a fraction from 0 to 1, got {self.batch_discount}")


@dataclass(frozen=True, slots=True)
class BatchRoute:
    """By whom batches of a model are run; not always by whom its calls are.

    Attributes:
        provider: A provider with a batch interface, or one with a resolver.
        model_id: The provider's id of the model.
    """

    provider: str
    model_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AiModel:
    """A model that calls can name by its key.

    Attributes:
        key: The name by which calls ask for it, 1 to 255 characters.
        provider: `openai`, `anthropic`, `google`, `openrouter`, `openai-compatible`, or one that the registry has a
            resolver for.
        model_id: The provider's id of it. Default: the key.
        base_url: Where it is served; needed for `openai-compatible`. Default: the registry's, else the environment's, else
            the provider's own.
        key_variable: Environment variable that holds its API key. Default: the provider's; for `openai-compatible` no key.
        prices: Prices of your own. Default: what the provider says, else the list of prices that is installed.
        batch: By whom batches are run. Default: see `batch_route`.
        is_embedding: Whether it turns texts into vectors, instead of writing.
        description: For people.
    """

    key: str
    provider: str
    model_id: str = ""
    base_url: str = ""
    key_variable: str = ""
    prices: ModelPrices | None = None
    batch: BatchRoute | None = None
    is_embedding: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            DefinitionError: The key or the provider is empty or too long, or a compatible endpoint has no address.
        """
        if not 1 <= len(self.key) <= KEY_LENGTH_MAX:
            raise DefinitionError(f"a model's key has 1 to {KEY_LENGTH_MAX} characters, got {len(self.key)}")
        if not 1 <= len(self.provider) <= _PROVIDER_LENGTH_MAX:
            raise DefinitionError(
                f"model {self.key!r}: a provider has 1 to {_PROVIDER_LENGTH_MAX} characters, got {self.provider!r}"
            )
        if self.provider == "openai-compatible" and not self.base_url:
            raise DefinitionError(f"model {self.key!r}: an openai-compatible model needs its base_url")
        if not self.model_id:
            object.__setattr__(self, "model_id", self.key)

    @property
    def batch_route(self) -> BatchRoute | None:
        """By whom batches of this model are run; None if by nobody.

        What `batch` says, else the model's own provider. OpenRouter and compatible endpoints have no batch interface that
        can be used; a model that OpenRouter serves for OpenAI, Anthropic or Google goes to its maker.
        """
        if self.batch is not None:
            return self.batch
        if self.is_embedding or self.provider == "openai-compatible":
            return None
        if self.provider != "openrouter":
            return BatchRoute(self.provider, self.model_id)
        maker, _, model_id = self.model_id.partition("/")
        if maker == "anthropic":  # OpenRouter writes claude-haiku-4.5, its maker claude-haiku-4-5.
            model_id = model_id.replace(".", "-")
        return (
            BatchRoute(maker, model_id)
            if model_id and PROVIDERS.get(maker, _NO_BATCHES).has_batches
            else None
        )


_NO_BATCHES = ProviderInfo("", (), "")


class Resolver(Protocol):
    """Serves the models of a provider of your own: any function or object that can be called like this."""

    def __call__(self, model: AiModel, /) -> "Model | EmbeddingModel":
        """Return what calls the model, as a model of pydantic-ai; for one with `is_embedding` an embedding model.

        Called once for each event loop and model, with the first call: a client may be bound to its loop.
        """
        ...
