"""Which models there are, where they are, with what keys."""

import pickle
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from stageline_sdk import DefinitionError, NoInput, Worker, Workflow
from stageline_sdk.ai import (
    AiModel,
    BatchRoute,
    MissingExtraError,
    MissingKeyError,
    ModelPrices,
    ModelRegistry,
)
from stageline_sdk.ai._backend.clients import LoopClients
from stageline_sdk.ai.registry import DEFAULT_MODELS
from stageline_sdk.presets import AI_MODEL_DEFAULT, MinimalAIConfig
from tests.unit.worker_sdk.jobs import returns


def test_the_default_model_of_presets_is_in_the_default_registry() -> None:
    assert MinimalAIConfig().model in ModelRegistry()
    assert ModelRegistry().default == AI_MODEL_DEFAULT


def test_a_model_of_ones_own_takes_the_place_of_a_default_one() -> None:
    mine = AiModel(key="gpt-5-mini", provider="openrouter", model_id="openai/gpt-5-mini")
    registry = ModelRegistry([mine])
    assert registry.get("gpt-5-mini") is mine
    assert len(registry) == len(DEFAULT_MODELS)
    assert [model.key for model in ModelRegistry([mine], with_default_models=False)] == ["gpt-5-mini"]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"key": "m", "provider": "nobody"}, "give the registry a resolver"),
        ({"key": "", "provider": "openai"}, "1 to 255 characters, got 0"),
        ({"key": "m", "provider": "openai-compatible"}, "needs its base_url"),
    ],
)
def test_a_model_that_cannot_be_served_is_told_at_once(model: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        ModelRegistry([AiModel(**model)])


def test_two_models_of_one_key_are_refused() -> None:
    twice = AiModel(key="m", provider="openai")
    with pytest.raises(DefinitionError, match="share the key 'm'"):
        ModelRegistry([twice, twice])


@pytest.mark.parametrize(
    "prices",
    [
        {"input": 0.3},
        {"input": Decimal(-1)},
        {"input": Decimal("NaN")},
        {"input": Decimal(1), "output": None},
    ],
)
def test_prices_are_exact_and_not_negative(prices: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="must be a Decimal of 0 or more"):
        ModelPrices(**prices)
    with pytest.raises(DefinitionError, match="fraction from 0 to 1, got 50"):
        ModelPrices(input=Decimal(1), batch_discount=Decimal(50))


@pytest.mark.parametrize(
    ("provider", "model_id", "route"),
    [
        ("openai", "gpt-5", BatchRoute("openai", "gpt-5")),
        ("openrouter", "google/gemini-2.5-flash", BatchRoute("google", "gemini-2.5-flash")),
        ("openrouter", "anthropic/claude-haiku-4.5", BatchRoute("anthropic", "claude-haiku-4-5")),
        ("openrouter", "meta/llama-4", None),
    ],
)
def test_batches_go_to_who_has_a_batch_interface(
    provider: str, model_id: str, route: BatchRoute | None
) -> None:
    assert AiModel(key="m", provider=provider, model_id=model_id).batch_route == route


def test_batches_of_embeddings_and_compatible_endpoints_go_where_they_are_told() -> None:
    assert AiModel(key="e", provider="openai", is_embedding=True).batch_route is None
    compatible = {"key": "m", "provider": "openai-compatible", "base_url": "http://gpu/v1"}
    assert AiModel(**compatible).batch_route is None  # type: ignore[arg-type]
    told = AiModel(**compatible, batch=BatchRoute("openai", "gpt-5"))  # type: ignore[arg-type]
    assert told.batch_route == BatchRoute("openai", "gpt-5")


def test_addresses_and_keys_are_of_the_model_then_the_registry_then_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    plain, own = (
        AiModel(key="a", provider="openai"),
        AiModel(key="b", provider="openai", base_url="http://own/v1", key_variable="OWN_KEY"),
    )
    bare = ModelRegistry([plain, own])
    assert bare.base_url(plain, "openai") is None
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://environment/v1")
    assert (bare.base_url(plain, "openai"), bare.api_key(plain, "openai")) == (
        "http://environment/v1",
        "from-environment",
    )
    told = ModelRegistry(
        [plain, own], base_urls={"openai": "http://told/v1"}, api_keys={"openai": "from-registry"}
    )
    assert (told.base_url(plain, "openai"), told.api_key(plain, "openai")) == (
        "http://told/v1",
        "from-registry",
    )
    assert told.base_url(own, "openai") == "http://own/v1"
    with pytest.raises(MissingKeyError, match="OWN_KEY"):
        bare.api_key(own, "openai")


def test_a_registry_never_shows_its_keys() -> None:
    assert "secret" not in repr(ModelRegistry(api_keys={"openai": "secret"}))


def test_a_registry_goes_with_the_worker_and_into_processes() -> None:
    registry = ModelRegistry([AiModel(key="m", provider="openai")])
    workflow = Workflow("w", input=NoInput).pipe(returns(1, int)).build()
    worker = Worker(workflow, models=registry)
    assert worker.configured(concurrency=2).models is registry
    assert pickle.loads(pickle.dumps(registry)).get("m") == registry.get("m")


KEYS = dict.fromkeys(("openai", "anthropic", "google", "openrouter"), "x")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (AiModel(key="m", provider="openai", model_id="gpt-5-mini"), "OpenAIResponsesModel"),
        (AiModel(key="m", provider="anthropic", model_id="claude-haiku-4-5"), "AnthropicModel"),
        (AiModel(key="m", provider="google", model_id="gemini-2.5-flash"), "GoogleModel"),
        (AiModel(key="m", provider="openrouter", model_id="openai/gpt-5-mini"), "OpenRouterModel"),
        (AiModel(key="m", provider="openai-compatible", base_url="http://127.0.0.1:9/v1"), "OpenAIChatModel"),
        (AiModel(key="m", provider="openai", is_embedding=True), "OpenAIEmbeddingModel"),
        (AiModel(key="m", provider="google", is_embedding=True), "GoogleEmbeddingModel"),
    ],
)
async def test_each_provider_is_built_with_the_address_it_was_told(model: AiModel, name: str) -> None:
    told = "http://127.0.0.1:9/v1"
    registry = ModelRegistry([model], api_keys=KEYS, base_urls=dict.fromkeys(KEYS, told))
    clients = LoopClients(registry)
    try:
        made = await (clients.embedder(model) if model.is_embedding else clients.writer(model))
        assert type(made).__name__ == name
        assert (made.base_url or "").rstrip("/") == told
        if not model.is_embedding:
            assert await clients.writer(model) is made
    finally:
        await clients.close()


async def test_a_library_of_a_provider_that_is_missing_is_told_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_ai.models.anthropic", None)
    registry = ModelRegistry(api_keys=KEYS)
    with pytest.raises(MissingExtraError, match=r"pip install 'stageline\[anthropic\]'") as caught:
        await LoopClients(registry).writer(registry.get("claude-haiku-4-5"))
    assert caught.value.extra == "anthropic"


def test_without_any_library_for_ai_the_first_call_says_what_to_install() -> None:
    code = (
        "import asyncio, sys; sys.modules['pydantic_ai'] = None\n"
        "from stageline_sdk.ai import StageAi, MissingExtraError\n"
        "ai = StageAi('s', lambda record: print(record.cost_usd))\n"
        "ai.record_call(cost_usd='0.5')\n"
        "try: asyncio.run(ai.generate_text('?'))\n"
        "except MissingExtraError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    booked, told = done.stdout.splitlines()
    assert booked == "0.5"
    assert "pip install 'stageline[openai]', [anthropic] or [google]" in told


def test_neither_the_sdk_nor_a_worker_loads_the_libraries_for_ai() -> None:
    code = (
        "import sys, stageline_sdk.ai, stageline_sdk.worker, stageline_sdk.testing;"
        "print([m for m in ('pydantic_ai', 'genai_prices', 'httpx', 'httpx2', 'openai') if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    assert loaded.stdout.strip() == "[]"
