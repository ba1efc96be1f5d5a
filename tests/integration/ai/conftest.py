"""A fake provider that the environment points at, and a registry with two more models on it."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from genai_prices.types import ModelPrice

from stageline_sdk.ai.testing import FakeProvider
from tests.integration.ai.houses import HOUSE


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    own = ModelPrice(input_mtok=Decimal(2), cache_read_mtok=Decimal(1), output_mtok=Decimal(10))
    with FakeProvider(prices={HOUSE: own}) as provider:
        for name, value in provider.environment().items():
            monkeypatch.setenv(name, value)
        yield provider
