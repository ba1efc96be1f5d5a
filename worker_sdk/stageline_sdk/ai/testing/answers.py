"""From what was asked and what is to be replied, the answer: complete, and the same for every provider."""

import json
import math
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from stageline_sdk.ai.testing.asked import Asked
from stageline_sdk.ai.testing.replies import Reply, Tokens
from stageline_sdk.ai.testing.schema_values import value_for

CHARACTERS_PER_TOKEN = 4
PROMPT_SHOWN_MAX = 60
DIMENSIONS = 8
"""The length of vectors where no other is asked for: short, to be read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says.

    Attributes:
        id: The request's id; its charge on the bill bears it.
        text: Its text; empty where it calls tools.
        reasoning: Its thoughts.
        calls: Each tool to call with its arguments as JSON text, which a script may have broken.
        tokens: What is charged.
        created_seconds: When, in seconds of the Unix epoch.
    """

    id: str
    text: str
    reasoning: str
    calls: tuple[tuple[str, str], ...]
    tokens: Tokens
    created_seconds: int


def answer(asked: Asked, reply: Reply, *, request_id: str, created_seconds: int) -> Answer:
    """Return the answer to a request."""
    calls = [(call.name, _json(dict(call.arguments))) for call in reply.tool_calls]
    text = reply.text or ""
    if not calls:
        text = _text(asked, reply)
        if asked.output_tool:
            calls, text = [(asked.output_tool, text)], ""
    tokens = reply.tokens or counted(asked, text + "".join(each for _, each in calls), reply.reasoning)
    return Answer(request_id, text, reply.reasoning, tuple(calls), tokens, created_seconds)


def counted(asked: Asked, said: str, reasoning: str = "") -> Tokens:
    """Return the tokens of a request where the script does not say: one for four characters, at least one each way."""
    thought = _tokens(reasoning) if reasoning else 0
    return Tokens(input=_tokens("".join(asked.texts)), output=_tokens(said) + thought, reasoning=thought)


def vectors(asked: Asked) -> list[list[float]]:
    """Return a vector for each text: of length 1 (Euclid's), the same for the same text."""
    return [_vector(text, asked.dimensions or DIMENSIONS) for text in asked.texts]


def _text(asked: Asked, reply: Reply) -> str:
    if reply.text is not None:
        return reply.text
    if reply.value is not None:
        return _json(reply.value)
    if asked.schema is not None:
        return _json(value_for(asked.schema))
    return f"A made-up answer to: {' '.join(asked.prompt[:PROMPT_SHOWN_MAX].split())}"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _tokens(text: str) -> int:
    return max(1, math.ceil(len(text) / CHARACTERS_PER_TOKEN))


def _vector(text: str, dimensions: int) -> list[float]:
    numbers: list[float] = []
    for block in range(math.ceil(dimensions / 32)):
        numbers += [byte / 255 - 0.5 for byte in sha256(f"{block}:{text}".encode()).digest()]
    numbers = numbers[:dimensions]
    length = math.sqrt(sum(each * each for each in numbers))
    return [round(each / length, 6) for each in numbers]
