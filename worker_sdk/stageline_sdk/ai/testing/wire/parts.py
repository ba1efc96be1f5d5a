"""What the protocols have in common."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from stageline_sdk.ai.testing.answers import Answer
from stageline_sdk.ai.testing.asked import Asked
from stageline_sdk.ai.testing.bill import Charge
from stageline_sdk.ai.testing.replies import Failure

OUTPUT_TOOL = "final_result"
"""How pydantic-ai names the tools by which it asks for a value."""


@dataclass(frozen=True, slots=True)
class EventStream:
    """A streamed answer: what comes first, the pieces of the answer, and what ends it."""

    opening: tuple[bytes, ...]
    chunks: tuple[bytes, ...]
    closing: tuple[bytes, ...]


class Dialect(Protocol):
    """The protocol of one endpoint."""

    def read(self, body: Mapping[str, Any], model: str = "") -> Asked:
        """Return what a request's body asks; the model where the body does not name it."""
        ...

    def write(self, asked: Asked, answer: Answer, charge: Charge) -> dict[str, Any]:
        """Return an answer as a body."""
        ...

    def stream(self, asked: Asked, answer: Answer, charge: Charge) -> EventStream:
        """Return an answer as a stream of events."""
        ...

    def error(self, failure: Failure) -> dict[str, Any]:
        """Return the body of a failure."""
        ...


def event(data: Any, name: str = "") -> bytes:
    """Return a server-sent event; what is no text is written as JSON."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return f"{f'event: {name}' + chr(10) if name else ''}data: {text}\n\n".encode()


def whole(begun: bytes, pieces: list[bytes], ended: bytes) -> list[bytes]:
    """Return the pieces of one part of an answer, of which the first brings what begins the part, and the last what ends it."""
    first, *rest = pieces or [b""]
    *middle, last = [begun + first, *rest]
    return [*middle, last + ended]


def texts_of(content: Any) -> list[str]:
    """Return the texts of a message's content: a text, or a list of parts of which some have one."""
    if isinstance(content, str):
        return [content]
    return [str(part["text"]) for part in content or () if isinstance(part, Mapping) and "text" in part]


def output_tool(tools: Iterable[str], *, named: str = "", is_required: bool = False) -> str:
    """Return the tool whose arguments are the answer; empty where a text may be the answer.

    Args:
        tools: The names of all tools.
        named: The one that the request insists on.
        is_required: Whether some tool must be called.
    """
    names = list(tools)
    wanted = [name for name in names if name.startswith(OUTPUT_TOOL)]
    if named or not (wanted or is_required):
        return named
    return (wanted or names or [""])[0]


def arguments(text: str) -> Any:
    """Return a tool's arguments for a protocol that takes no text: where a script broke them, a value that will not fit."""
    try:
        return json.loads(text)
    except ValueError:
        return {"broken": text}
