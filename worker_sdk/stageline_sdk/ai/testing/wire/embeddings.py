"""Embeddings, as OpenAI and Gemini give them."""

import base64
import struct
from collections.abc import Mapping
from typing import Any

from stageline_sdk.ai.testing.answers import vectors
from stageline_sdk.ai.testing.asked import Asked
from stageline_sdk.ai.testing.replies import Tokens
from stageline_sdk.ai.testing.wire.parts import texts_of


def read_openai(body: Mapping[str, Any]) -> Asked:
    """Return what OpenAI's `/v1/embeddings` is asked."""
    given = body.get("input", "")
    texts = (given,) if isinstance(given, str) else tuple(map(str, given))
    return _asked("openai", str(body.get("model", "")), texts, body.get("dimensions"), body)


def write_openai(asked: Asked, tokens: Tokens) -> dict[str, Any]:
    """Return OpenAI's answer, whose vectors are numbers or their bytes in base64, as asked for."""
    is_packed = asked.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if is_packed else vector}
        for index, vector in enumerate(vectors(asked))
    ]
    usage = {"prompt_tokens": tokens.input, "total_tokens": tokens.input}
    return {"object": "list", "data": data, "model": asked.model, "usage": usage}


def read_gemini(body: Mapping[str, Any], model: str) -> Asked:
    """Return what Gemini's `:embedContent` or `:batchEmbedContents` is asked."""
    requests = body.get("requests", [body])
    texts = tuple("".join(texts_of((each.get("content") or {}).get("parts"))) for each in requests)
    first = requests[0] if requests else {}
    dimensions = first.get("outputDimensionality") or (first.get("embedContentConfig") or {}).get(
        "outputDimensionality"
    )
    return _asked("google", model, texts, dimensions, body)


def write_gemini(asked: Asked, *, is_one: bool) -> dict[str, Any]:
    """Return Gemini's answer. It tells no tokens, so that who asks cannot know what it costs."""
    found = [{"values": vector} for vector in vectors(asked)]
    return {"embedding": found[0]} if is_one else {"embeddings": found}


def _asked(
    provider: Any, model: str, texts: tuple[str, ...], dimensions: int | None, body: Mapping[str, Any]
) -> Asked:
    return Asked(
        provider=provider,
        endpoint="embeddings",
        model=model,
        prompt="\n".join(texts),
        texts=texts,
        dimensions=dimensions,
        body=body,
    )


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
