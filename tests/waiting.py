"""Waiting in tests: on a condition, with a deadline, never for a fixed time.

Prefer a signal (an Event, a queue, a stream) over these; they are for conditions that nobody announces,
such as a row in a database or a file of another process. This is the only file of tests/ that may sleep.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")

DEADLINE = timedelta(seconds=20)
PAUSE_SECONDS_MIN = 0.005
PAUSE_SECONDS_MAX = 0.1


class ConditionNotMetError(AssertionError):
    """The condition did not come true before the deadline."""


async def eventually(
    probe: Callable[[], Awaitable[T]], *, what: str = "the condition", within: timedelta = DEADLINE
) -> T:
    """Return the first truthy answer of an async probe.

    Args:
        probe: Asked again and again, with pauses that grow from 5 to 100 ms.
        what: What is waited for, in the words of the failure message.
        within: How long to go on; only a hung test reaches it.

    Raises:
        ConditionNotMetError: The deadline passed; the message holds the last answer.
    """
    patience = _Patience(what, within)
    while True:
        answer = await probe()
        if answer:
            return answer
        await asyncio.sleep(patience.next_pause_seconds(answer))


def eventually_sync(
    probe: Callable[[], T], *, what: str = "the condition", within: timedelta = DEADLINE
) -> T:
    """Do what `eventually` does for a plain function, blocking the thread; a probe may itself wait so."""
    patience = _Patience(what, within)
    while not (answer := probe()):
        time.sleep(patience.next_pause_seconds(answer))
    return answer


class _Patience:
    """Says how long to wait before the next question, until the deadline."""

    def __init__(self, what: str, within: timedelta) -> None:
        self._what = what
        self._within = within
        self._give_up = time.monotonic() + within.total_seconds()
        self._pause_seconds = PAUSE_SECONDS_MIN

    def next_pause_seconds(self, answer: object) -> float:
        if time.monotonic() > self._give_up:
            raise ConditionNotMetError(
                f"{self._what} was not met within {self._within}; last answer: {answer!r}"
            )
        pause_seconds = self._pause_seconds
        self._pause_seconds = min(pause_seconds * 2, PAUSE_SECONDS_MAX)
        return pause_seconds
