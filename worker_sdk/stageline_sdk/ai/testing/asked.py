"""A request to a fake provider, the same for every provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Provider = Literal["openai", "anthropic", "google", "openrouter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a model was asked.

    Attributes:
        provider: Whose protocol it was asked in.
        endpoint: Which of its endpoints: `chat`, `responses`, `messages`, `generate` or `embeddings`.
        model: The model's id.
        prompt: The text of the last message of the user, or the texts to embed, one a line.
        texts: All texts: instructions and messages, in order. Of embeddings, each text to embed.
        schema: The JSON Schema that the answer must fit; None where any text will do.
        output_tool: The tool whose arguments are the answer, where the schema is asked for in that way.
        tools: The JSON Schemas of the tools that the model may call, by name.
        tool_results: How many results of tools are among the messages.
        is_stream: Whether the answer is streamed.
        dimensions: The length of the vectors asked for, of embeddings.
        batch_id: The batch that it is an item of.
        custom_id: The item's id in its batch.
        body: The request as it came.
    """

    provider: Provider
    endpoint: str
    model: str
    prompt: str = ""
    texts: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    output_tool: str = ""
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tool_results: int = 0
    is_stream: bool = False
    dimensions: int | None = None
    batch_id: str = ""
    custom_id: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
