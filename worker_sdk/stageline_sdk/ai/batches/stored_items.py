"""Items as JSON, to be kept while their batch is under way: a check has nothing of its stage's input."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from stageline_sdk.ai.batches.items import BatchItem, Turn
from stageline_sdk.ai.options import Media


def to_stored(items: Sequence[BatchItem]) -> list[dict[str, Any]]:
    """Return items as JSON values."""
    return [
        {
            "id": item.id,
            "prompt": item.prompt if isinstance(item.prompt, str) else [_part(each) for each in item.prompt],
            "instructions": item.instructions,
            "history": [[turn.role, turn.text] for turn in item.history],
        }
        for item in items
    ]


def from_stored(values: Sequence[Mapping[str, Any]]) -> list[BatchItem]:
    """Return the items that `to_stored` wrote."""
    return [
        BatchItem(
            id=each["id"],
            prompt=each["prompt"]
            if isinstance(each["prompt"], str)
            else [_read(part) for part in each["prompt"]],
            instructions=each["instructions"],
            history=tuple(Turn(role, text) for role, text in each["history"]),
        )
        for each in values
    ]


def shown(item: BatchItem) -> Any:
    """Return what an item asks, as the ledger shows it: media by type and size, never their bytes."""
    if isinstance(item.prompt, str):
        return item.prompt
    return [
        {"media_type": each.media_type, "size_bytes": len(each.data)} if isinstance(each, Media) else each
        for each in item.prompt
    ]


def _part(part: str | Media) -> Any:
    if isinstance(part, str):
        return part
    return {"media_type": part.media_type, "data": base64.b64encode(part.data).decode()}


def _read(part: Any) -> str | Media:
    return part if isinstance(part, str) else Media(base64.b64decode(part["data"]), part["media_type"])
