"""Names that follow from what they name, so that every process finds the same ones."""

import base64
import hashlib
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pydantic_core import to_json

_USAGE_NAMESPACE = uuid.UUID("5f0c3f0a-6f0e-5d0b-9a55-8d2a3f9b7c11")
_MARK_LENGTH = 20
_CLOCK_SLACK = timedelta(minutes=10)
_UUID7_VERSION = 7


def mark_of(key: str) -> str:
    """Return what starts the ids of the requests that were submitted under a key; no other key has it."""
    return hashlib.sha256(key.encode()).hexdigest()[:_MARK_LENGTH]


def custom_id(mark: str, item_id: str) -> str:
    """Return the id that the provider is given for an item.

    An item's own id may have any characters, and providers take 64 of `A-Z a-z 0-9 _ -` at most. It does not say the
    item's place: an attempt that builds its items anew, in another order, still gives each answer to its item.
    """
    digest = hashlib.sha256(item_id.encode()).digest()[:16]
    return f"{mark}-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def usage_id(provider: str, batch_id: str, item: str) -> str:
    """Return the id of the record of one item of a batch: the same wherever and however often its result is fetched."""
    return str(uuid.uuid5(_USAGE_NAMESPACE, f"{provider}\n{batch_id}\n{item}"))


def prompts_digest(prompts: Iterable[object]) -> str:
    """Return the SHA-256 of prompts, in their order."""
    digest = hashlib.sha256()
    for prompt in prompts:
        text = prompt.encode() if isinstance(prompt, str) else to_json(prompt, fallback=repr)
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.hexdigest()


def earliest_start(run_id: str) -> datetime | None:
    """Return a moment before which nothing of a run can have been submitted; None if its id does not tell it.

    Ids that the server makes begin with their time. Ten minutes are for clocks that differ.
    """
    try:
        parsed = uuid.UUID(run_id)
    except ValueError:
        return None
    if parsed.version != _UUID7_VERSION or not parsed.int >> 80:
        return None
    return datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC) - _CLOCK_SLACK
