"""Messages from any thread to a loop, in order and in batches."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Hands messages to a function on a loop. Waking a loop costs a system call: one is spent on a batch, not on each."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[list[T]], None]) -> None:
        """Make a mailbox.

        Args:
            loop: Where messages are delivered.
            deliver: Called on the loop with every message that has come since the last time.
        """
        self._loop = loop
        self._deliver = deliver
        self._lock = threading.Lock()
        self._messages: list[T] = []

    def post(self, *messages: T) -> None:
        """Send messages. Returns at once; when the loop has ended, they are lost."""
        with self._lock:
            is_first = not self._messages
            self._messages += messages
        if is_first and messages:
            with suppress(RuntimeError):  # The loop is closed.
                self._loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        with self._lock:
            messages, self._messages = self._messages, []
        self._deliver(messages)
