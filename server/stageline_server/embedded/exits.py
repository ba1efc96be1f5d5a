"""Waits for the end of a child process without a thread and without reaping it."""

import asyncio
import os
from datetime import timedelta

from stageline_server.embedded.process import PostgresProcess

# Where the kernel cannot tell of an end (not Linux): how often we look.
POLL_INTERVAL = timedelta(milliseconds=200)


async def wait_for_exit(process: PostgresProcess) -> int:
    """Returns the exit code of a process of ours once it has ended; minus the signal's number if killed."""
    if hasattr(os, "pidfd_open"):
        await _wait_readable(process.pid)
    while (code := process.poll()) is None:  # noqa: ASYNC110 - nothing tells us there
        await asyncio.sleep(POLL_INTERVAL.total_seconds())
    return code


async def _wait_readable(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:  # ended and reaped
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
