"""Models beside the default ones: one by OpenRouter, one of an endpoint that speaks OpenAI's chat protocol."""

from decimal import Decimal

from stageline_sdk.ai import AiModel, ModelPrices, ModelRegistry
from stageline_sdk.ai.testing import FakeProvider

HOUSE = "house-model"
PRICES = ModelPrices(input=Decimal(2), cached_input=Decimal(1), output=Decimal(10))


def registry_of(fake: FakeProvider) -> ModelRegistry:
    return ModelRegistry(
        [
            AiModel(key="router", provider="openrouter", model_id="openai/gpt-5-mini"),
            AiModel(
                key="house",
                provider="openai-compatible",
                model_id=HOUSE,
                base_url=fake.base_url("openai"),
                prices=PRICES,
            ),
        ]
    )
