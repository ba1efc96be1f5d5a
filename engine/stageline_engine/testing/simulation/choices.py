"""What random histories are made of, drawn from one source of chance.

Every choice is made through a ``random.Random``: seeded, a history comes out the same every time; handed out by
Hypothesis, it is made as small as can be when it fails.
"""

from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any, TypeVar

from stageline_engine.commands import CheckNow, Completed, Outcome, Returned, StillWaiting, Suspended
from stageline_engine.events import StageError
from stageline_engine.limits import SESSION_TIMEOUT
from stageline_engine.testing.scene import completed, failed

T = TypeVar("T")

STEPS = (timedelta(milliseconds=1), timedelta(seconds=1), timedelta(seconds=4), SESSION_TIMEOUT)
"""How far time jumps at once: within a backoff, past one, past the life of a silent session."""


class Choices:
    """One source of chance, asked in the words of a history."""

    def __init__(self, random: Random) -> None:
        """Takes the source."""
        self._random = random

    def number(self, low: int, high: int) -> int:
        """A whole number; both ends are possible."""
        return self._random.randint(low, high)

    def one_of(self, things: Sequence[T]) -> T:
        """One of several things, of which there is at least one."""
        return things[self._random.randrange(len(things))]

    def some_of(self, things: Sequence[T], most: int) -> list[T]:
        """One to ``most`` different things, in any order."""
        return self._random.sample(things, k=self.number(1, min(most, len(things))))

    def once_in(self, times: int) -> bool:
        """True about once in so many times."""
        return self._random.randrange(times) == 0

    def outcome(self) -> Outcome:
        """What a worker may say: mostly that it is done, sometimes what no server can accept."""
        kind = self.number(0, 9)
        if kind < 3:
            return completed(self.number(0, 9))
        return (
            completed("not an integer"),
            Completed(b"\xff not JSON"),
            failed(),
            failed(retryable=False),
            failed(retry_after=self.one_of((timedelta(), timedelta(seconds=7)))),
            Returned(started=self.once_in(2)),
            self._suspended() if self.once_in(2) else self._still_waiting(),
        )[kind - 3]

    def _suspended(self) -> Suspended:
        return Suspended(
            state=self.one_of((b"{}", b'{"batch": 1}')),
            poll_interval=self.one_of((None, timedelta(seconds=4))),
            wait_max=self.one_of((timedelta(seconds=20), timedelta(minutes=5))),
            never_poll=self.once_in(2),
        )

    def _still_waiting(self) -> StillWaiting:
        return StillWaiting(state=self.one_of((None, b'{"seen": 1}')))

    def wait_outcome(self) -> Any:
        """What the outside may say of a suspended stage."""
        return self.one_of((completed(self.number(0, 9)), StageError("Rejected", "no"), failed(), CheckNow()))
