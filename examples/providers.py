"""Whom the examples ask: a real provider where its key is in the environment, else a fake one that costs nothing."""

import contextlib
import os
from collections.abc import Iterator, Mapping

from stageline_sdk.ai.testing import BatchPlan, FakeProvider

MODELS = {
    "OPENAI_API_KEY": "gpt-5-mini",
    "ANTHROPIC_API_KEY": "claude-haiku-4-5",
    "GOOGLE_API_KEY": "gemini-2.5-flash",
}
FAKED = "gpt-5-mini"
MODEL_VARIABLE = "EXAMPLE_MODEL"


@contextlib.contextmanager
def provider(batch_plan: BatchPlan | None = None) -> Iterator[Mapping[str, str]]:
    """Yields the variables that lead this process, and those that it starts, to a provider."""
    for key, model in MODELS.items():
        if os.environ.get(key):
            print(f"Asking {model}, as {key} is set: this costs real money.")
            yield {MODEL_VARIABLE: model}
            return
    with FakeProvider(batch_plan=batch_plan) as fake:
        print(f"Asking a fake provider; with one of {', '.join(MODELS)} set, a real one.")
        yield {MODEL_VARIABLE: FAKED, **fake.environment()}


def model() -> str:
    """The model that the variables name."""
    return os.environ.get(MODEL_VARIABLE, FAKED)
