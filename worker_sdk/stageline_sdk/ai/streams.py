"""Answers that come in pieces."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

from stageline_sdk.ai.results import TextResult


class TextStream:
    """An answer as it is written: `async for piece in stream`. Pieces are never part of the reasoning."""

    def __init__(
        self,
        pieces: AsyncIterator[str],
        result: Callable[[], TextResult | None],
    ) -> None:
        """Wrap the pieces; for the runtime.

        Args:
            pieces: The text, bit by bit.
            result: Returns what was written and what it took, None while that is not known.
        """
        self._pieces = pieces
        self._result = result

    def __aiter__(self) -> AsyncIterator[str]:
        return self._pieces

    @property
    def result(self) -> TextResult:
        """What was written, and what it took. Known once the last piece has come, or the `async with` block has ended.

        Raises:
            RuntimeError: It is not known yet.
        """
        return known_result(self._result())


class TextPieces(Protocol):
    """A stream's pieces where there is no loop; for the runtime."""

    def __iter__(self) -> Iterator[str]:
        """Yield them."""
        ...

    def result(self) -> TextResult | None:
        """Return what was written, None while it is not known."""
        ...


class SyncTextStream:
    """The same for plain `def` stages: `for piece in stream`."""

    def __init__(self, pieces: TextPieces) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    @property
    def result(self) -> TextResult:
        """As `TextStream.result`.

        Raises:
            RuntimeError: It is not known yet.
        """
        return known_result(self._pieces.result())


def known_result(result: TextResult | None) -> TextResult:
    """Return a result that is there.

    Raises:
        RuntimeError: It is not.
    """
    if result is None:
        raise RuntimeError("the stream has not ended: read `result` after its last piece or after its block")
    return result
