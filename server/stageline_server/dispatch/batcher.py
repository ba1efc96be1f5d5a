"""Natural batching: while one transaction is in flight, the next batch gathers.

An idle system commits a batch of one at once, with no added wait; a busy one commits hundreds in one transaction. No
timer and no tuning is involved.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from stageline_server.dispatch.background import Background

Command = TypeVar("Command")
Result = TypeVar("Result")

Done = Callable[[Result | BaseException], None]
Commit = Callable[[Sequence[Command]], Awaitable[Sequence[Result]]]

_log = logging.getLogger(__name__)


class Batcher(Background, Generic[Command, Result]):
    """Gathers commands of one kind and has them committed in batches, one batch at a time."""

    def __init__(self, commit: Commit[Command, Result], *, batch_max: int, name: str) -> None:
        """Takes what commits a batch.

        Args:
            commit: Carries out a batch and returns one result for each command, in order.
            batch_max: Commands in one batch.
            name: Names the task, for debugging.
        """
        super().__init__(f"batcher:{name}")
        self._commit = commit
        self._batch_max = batch_max
        self._waiting: deque[tuple[Command, Done[Result]]] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, command: Command, done: Done[Result]) -> None:
        """Adds a command to the next batch.

        Args:
            command: The command.
            done: Called on the event loop with the result, or with the exception of the whole batch.
        """
        self._waiting.append((command, done))
        self._idle.clear()
        self._arrived.set()

    async def call(self, command: Command) -> Result:
        """Adds a command to the next batch and waits for its result.

        Raises:
            BaseException: Whatever the batch failed with.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.submit(command, lambda result: _settle(future, result))
        return await future

    async def flushed(self) -> None:
        """Waits until nothing waits and nothing is in flight."""
        await self._idle.wait()

    async def stop(self) -> None:
        """Stops committing. What still waits is answered with a cancellation."""
        await super().stop()
        while self._waiting:
            self._waiting.popleft()[1](asyncio.CancelledError())

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._idle.set()
                self._arrived.clear()
                await self._arrived.wait()
            size = min(len(self._waiting), self._batch_max)
            batch = [self._waiting.popleft() for _ in range(size)]
            await self._carry_out(batch)

    async def _carry_out(self, batch: Sequence[tuple[Command, Done[Result]]]) -> None:
        try:
            results: Sequence[Result | BaseException] = await self._commit([command for command, _ in batch])
        except asyncio.CancelledError as error:
            _tell(batch, [error] * len(batch))
            raise
        except Exception as error:  # noqa: BLE001 - every caller of the batch is told; none is swallowed
            results = [error] * len(batch)
        _tell(batch, results)


def _tell(batch: Sequence[tuple[Command, Done[Result]]], results: Sequence[Result | BaseException]) -> None:
    """Calls every callback; one that fails hurts no other."""
    for (_, done), result in zip(batch, results, strict=True):
        try:
            done(result)
        except Exception:  # noqa: BLE001 - logged; the others must still be told
            _log.exception("a callback failed after its command was committed")


def _settle(future: "asyncio.Future[Result]", result: Result | BaseException) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
