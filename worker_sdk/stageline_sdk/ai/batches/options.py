"""What may be said to a batch, beside its items."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypedDict

from stageline_sdk.ai.options import Reasoning
from stageline_sdk.ai.records import Contents


class BatchOptions(TypedDict, total=False):
    """What a batch takes. Those of a single call that are not here, such as a time-out and tools, no batch can honour.

    Attributes:
        model: Key of a model in the registry.
        instructions: What goes before the prompt of each item that has no instructions of its own.
        temperature: How freely it answers, from 0. Default: of the stage's AI config, where the model takes one.
        max_tokens: Tokens of one answer at most. Default: of the stage's AI config, else the model's own.
        reasoning: How much it reasons first. Default: the model's own.
        provider_options: Settings of pydantic-ai, passed on untouched; they go before all others.
        topic: What the batch is for; added to the topic of `ctx.ai`.
        metadata: More about it, kept with the record of each item.
        contents: Keeps less of prompts and answers in the ledger than the server would: `hash` or `none`.
        requests_max: Items of one of the provider's batches at most. Default: the provider's own limit.
        look_again_after: When a provider that does not have what a crash left in doubt is asked once more, as what was sent
            may still be on its way. Default: 5 seconds.
    """

    model: str
    instructions: str
    temperature: float
    max_tokens: int
    reasoning: Reasoning
    provider_options: Mapping[str, Any]
    topic: str
    metadata: Mapping[str, Any]
    contents: Contents
    requests_max: int
    look_again_after: timedelta
