"""Notices when code of the user blocks the worker's loop, and says which stage it is."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

_log = logging.getLogger("stageline.worker")

PROBE_INTERVAL = timedelta(milliseconds=250)
"""How often the loop is asked for a sign of life, while it has work."""

BLOCKED_AFTER = timedelta(seconds=1)
"""Silence after which it is taken for blocked: garbage collection and a slow import stay below it."""


class LoopMonitor:
    """Watches a loop from another thread's loop. `run` is to be run there; the constructor on the watched loop."""

    def __init__(
        self,
        is_busy: Callable[[], bool],
        *,
        probe_interval: timedelta = PROBE_INTERVAL,
        blocked_after: timedelta = BLOCKED_AFTER,
    ) -> None:
        """Make a monitor of the running loop.

        Args:
            is_busy: Whether the loop has any work, so that it is worth being asked.
            probe_interval: How often it is asked.
            blocked_after: Silence after which it is taken for blocked.
        """
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._is_busy = is_busy
        self._probe_seconds = probe_interval.total_seconds()
        self._blocked_seconds = blocked_after.total_seconds()
        self._answered = asyncio.Event()

    async def run(self) -> None:
        """Watch until this is cancelled, or the watched loop is closed."""
        while True:
            await asyncio.sleep(self._probe_seconds)
            if self._is_busy() and not await self._probe():
                return

    async def _probe(self) -> bool:
        """Ask the loop for a sign of life, and wait for it; False when the loop is closed."""
        own_loop = asyncio.get_running_loop()
        answered = asyncio.Event()
        asked_at = time.monotonic()
        try:
            self._loop.call_soon_threadsafe(lambda: own_loop.call_soon_threadsafe(answered.set))
        except RuntimeError:
            return False
        stage, where, patience_seconds = "", "", self._blocked_seconds
        while not answered.is_set():
            try:
                async with asyncio.timeout(patience_seconds):
                    await answered.wait()
            except TimeoutError:
                stage, where = self._culprit()
                _log.warning(
                    "your handler has blocked the loop for %.1f s so far: %s, at %s. "
                    "Make it a plain `def`, which runs in a thread, or await what it waits for",
                    *(time.monotonic() - asked_at, stage, where),
                )
                patience_seconds *= 2  # Each further warning is for twice the time.
        if stage:
            _log.warning("your handler blocked the loop for %.1f s: %s", time.monotonic() - asked_at, stage)
        return True

    def _culprit(self) -> tuple[str, str]:
        """Return the task that holds the loop and the line that it is at."""
        task = asyncio.current_task(self._loop)
        name = task.get_name() if task is not None else "a callback"
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - there is no other way to see another thread
        return name, _line_of(frame)


def _line_of(frame: FrameType | None) -> str:
    """Return the innermost line that is not of a library, as `file.py:12 in function`."""
    innermost = frame
    while frame is not None and _is_library(frame.f_code.co_filename):
        frame = frame.f_back
    shown = frame or innermost
    return (
        f"{shown.f_code.co_filename}:{shown.f_lineno} in {shown.f_code.co_name}"
        if shown
        else "an unknown line"
    )


def _is_library(file: str) -> bool:
    return "site-packages" in file or file.startswith(("<", sys.base_prefix))
