"""Blocking steps beside an event loop."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def finish_in_thread(step: Callable[[], Result]) -> Result:
    """Runs a blocking step in a thread, to its end.

    Unlike ``asyncio.to_thread`` it returns to a cancelled caller only when the step has ended, so that what the caller
    cleans up (a file, a process) is not being made or written meanwhile.

    Args:
        step: What blocks. Of what it opens, the caller must know before: a cancelled caller is not given the result.

    Raises:
        asyncio.CancelledError: The caller was cancelled; the step has ended nevertheless.
    """
    task = asyncio.ensure_future(asyncio.to_thread(step))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
