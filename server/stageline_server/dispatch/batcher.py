"""Natural batching: while one transaction is in flight, the next batch gathers.

An idle system commits a batch of one at once, with no added wait; a busy one commits hundreds in one transaction. No
timer and no tuning is involved.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from stageline_engine.errors import StorageUnavailableError
from stageline_server.dispatch.background import Background

Command = TypeVar("Command")
Result = TypeVar("Result")

Done = Callable[[Result | BaseException], None]
Commit = Callable[[Sequence[Command]], Awaitable[Sequence[Result]]]
Batch = Sequence[tuple[Command, Done[Result]]]

_log = logging.getLogger(__name__)


class StoppedError(StorageUnavailableError):
    """The server has stopped: the command was not committed, or its fate is unknown. It may be sent again with its key."""


class Batcher(Background, Generic[Command, Result]):
    """Gathers commands of one kind and has them committed in batches, one batch at a time."""

    def __init__(self, commit: Commit[Command, Result], *, batch_max: int, name: str) -> None:
        """Takes what commits a batch.

        Args:
            commit: Carries out a batch and returns one result for each command, in order. Where it fails for any reason
                but the database, nothing was committed, and it is called again with each half of the batch, so that
                one bad command hurts no other.
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
        self._stopped = False

    def submit(self, command: Command, done: Done[Result]) -> None:
        """Adds a command to the next batch.

        Args:
            command: The command.
            done: Called on the event loop with the result, or with the exception that its batch failed with; with
                ``StoppedError`` where the batcher has stopped.
        """
        if self._stopped:
            _refuse([(command, done)])
            return
        self._waiting.append((command, done))
        self._idle.clear()
        self._arrived.set()

    async def call(self, command: Command) -> Result:
        """Adds a command to the next batch and waits for its result.

        Raises:
            StorageUnavailableError: The database is away, or the server stops.
            Exception: Whatever else the commit failed with.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.submit(command, lambda result: _settle(future, result))
        return await future

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return self._idle.is_set()

    @property
    def waiting(self) -> int:
        """Commands that no batch has taken yet."""
        return len(self._waiting)

    async def flushed(self) -> None:
        """Waits until nothing waits and nothing is in flight."""
        await self._idle.wait()

    async def stop(self) -> None:
        """Stops committing. What is in flight or still waits is answered with ``StoppedError``."""
        self._stopped = True
        await super().stop()
        _refuse(self._waiting)
        self._waiting.clear()
        self._idle.set()

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._idle.set()
                self._arrived.clear()
                await self._arrived.wait()
            size = min(len(self._waiting), self._batch_max)
            await self._carry_out([self._waiting.popleft() for _ in range(size)])

    async def _carry_out(self, batch: Batch[Command, Result]) -> None:
        """Commits a batch, as a whole or in parts, and answers each of its commands."""
        parts = deque([batch])
        try:
            while parts:
                answers = await self._attempt(parts[0])
                part = parts.popleft()
                if answers is None:
                    middle = len(part) // 2
                    parts.extendleft((part[middle:], part[:middle]))
                else:
                    _tell(part, answers)
        finally:
            for part in parts:
                _refuse(part)

    async def _attempt(self, part: Batch[Command, Result]) -> Sequence[Result | BaseException] | None:
        """Returns an answer for each command, or None where the halves should be tried one after the other."""
        try:
            return await self._commit([command for command, _ in part])
        except Exception as error:  # noqa: BLE001 - every caller is told; none is swallowed
            if len(part) == 1 or isinstance(error, StorageUnavailableError):
                return [error] * len(part)
            _log.warning("%s: a batch of %d failed; trying its halves", self.name, len(part), exc_info=True)
            return None


def _refuse(batch: Batch[Command, Result]) -> None:
    _tell(batch, [StoppedError("the server has stopped") for _ in batch])


def _tell(batch: Batch[Command, Result], results: Sequence[Result | BaseException]) -> None:
    """Calls every callback; one that fails hurts no other."""
    for (_, done), result in zip(list(batch), results, strict=True):
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
