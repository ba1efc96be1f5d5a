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
    give_up = time.monotonic() + within.total_seconds()
    pause_seconds = PAUSE_SECONDS_MIN
    while True:
        answer = await probe()
        if answer:
            return answer
        if time.monotonic() > give_up:
            raise ConditionNotMetError(f"{what} was not met within {within}; last answer: {answer!r}")
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, PAUSE_SECONDS_MAX)


def eventually_sync(
    probe: Callable[[], T], *, what: str = "the condition", within: timedelta = DEADLINE
) -> T:
    """Do what `eventually` does, for a plain function and without a running loop."""

    async def ask() -> T:
        return probe()

    return asyncio.run(eventually(ask, what=what, within=within))
