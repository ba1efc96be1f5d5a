"""What a fake provider is told to answer: a reply, or a failure, and how it goes wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

ENDING = Literal["completed", "expired", "failed", "cancelled"]
"""How a batch ends."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a request is charged for.

    Attributes:
        input: In all, cached ones included.
        cached: Those of the input that came from the provider's cache.
        output: In all, reasoning ones included.
        reasoning: Those of the output that were spent on reasoning.
    """

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants called.

    Attributes:
        name: The tool's name.
        arguments: What to call it with.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of the model. What is left out is made up: a sentence, or a value that fits the schema asked for.

    Attributes:
        text: The text of the answer, as it is; where a schema is asked for this may break it.
        value: The value that answers a schema, as JSON shows it. Not checked against the schema.
        reasoning: The model's thoughts.
        tool_calls: Tools to call; there is no text then, unless it is given.
        tokens: What is charged. Default: a token for four characters.
        is_held: Nothing is sent until `FakeProvider.release`.
        held_after_chunks: Of a stream, so many pieces are sent, and the rest after `release`.
        cut_after_chunks: Of a stream, the connection breaks after so many pieces. It is charged in full.
        is_lost: The work is done and charged, and the connection breaks before the answer.
    """

    text: str | None = None
    value: Any = None
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tokens: Tokens | None = None
    is_held: bool = False
    held_after_chunks: int | None = None
    cut_after_chunks: int | None = None
    is_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A request that the provider refuses, and does not charge.

    Attributes:
        status: The HTTP status: 429, 500, 529 and so on.
        message: What went wrong.
        retry_after: How long to wait before the next try, as the headers `retry-after` (in whole seconds, rounded up)
            and `retry-after-ms` tell it. Default: not told.
    """

    status: int = 500
    message: str = "the fake provider was told to fail"
    retry_after: timedelta | None = None

    @classmethod
    def rate_limited(cls, retry_after: timedelta = timedelta(milliseconds=1)) -> "Failure":
        """Return the failure of too many requests: status 429."""
        return cls(status=429, message="too many requests", retry_after=retry_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """What becomes of a batch.

    Attributes:
        pending_polls: So many times its status is asked and it has not ended. A held batch does not count them.
        is_held: It does not end before `FakeProvider.release`.
        ending: How it ends. Of all but `completed`, the items that are not in `finished_ids` were not run.
        finished_ids: Items that ran though the batch did not end well.
        item_failures: Items that fail, by their id.
        is_reply_lost: The batch is accepted, and the connection breaks before the provider says so.
        refusal: The batch is refused when it is created.
    """

    pending_polls: int = 0
    is_held: bool = False
    ending: ENDING = "completed"
    finished_ids: frozenset[str] = frozenset()
    item_failures: Mapping[str, Failure] = field(default_factory=dict)
    is_reply_lost: bool = False
    refusal: Failure | None = None


def words(text: str) -> list[str]:
    """Return a text cut into the pieces that a stream sends: words, each with the space before it."""
    pieces: list[str] = []
    for index, word in enumerate(text.split(" ")):
        pieces.append(word if index == 0 else f" {word}")
    return [piece for piece in pieces if piece]
