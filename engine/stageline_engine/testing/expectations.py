"""Two expectations that every suite needs, without a test framework."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

Result = TypeVar("Result")

STILL_WAITING_AFTER = timedelta(seconds=0.05)
"""How long something that must wait is watched. An adapter that is right passes however slow the machine is."""


@contextmanager
def raises(kind: type[BaseException]) -> Iterator[None]:
    """Expects the block to raise.

    Raises:
        AssertionError: It did not.
    """
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


async def waits_until_released(waiter: Awaitable[Result]) -> "asyncio.Task[Result]":
    """Starts something that must wait for a lock, and returns it as a task that is still waiting.

    Raises:
        AssertionError: It did not wait.
    """
    task = asyncio.ensure_future(waiter)
    done, _ = await asyncio.wait({task}, timeout=STILL_WAITING_AFTER.total_seconds())
    if done:
        raise AssertionError(f"did not wait, but returned {task.result()!r}")
    return task
