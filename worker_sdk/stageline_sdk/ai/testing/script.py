"""Who decides what is answered, and who waits for whom."""

import threading
from collections.abc import Callable
from datetime import timedelta

from stageline_sdk.ai.testing.asked import Asked
from stageline_sdk.ai.testing.replies import BatchPlan, Failure, Reply

Answering = Callable[[Asked], "Reply | Failure | str"]
"""Says what to answer to a request that no script was written for. A text is a reply of that text."""
WAIT_WITHIN = timedelta(seconds=30)


class NotAskedError(AssertionError):
    """What a test waited for did not happen."""


class Script:
    """What comes next. Safe to use from any thread."""

    def __init__(self, answering: Answering | None = None) -> None:
        """Start with nothing planned.

        Args:
            answering: Decides where nothing was planned. Default: an answer is made up.
        """
        self._answering = answering
        self._planned: list[tuple[Callable[[Asked], bool] | None, Reply | Failure]] = []
        self._batches: list[BatchPlan] = []
        self._asked: list[Asked] = []
        self._releases = 0
        self._held = 0
        self._is_closed = False
        self._changed = threading.Condition()

    @property
    def asked(self) -> list[Asked]:
        """What was asked so far."""
        with self._changed:
            return list(self._asked)

    @property
    def releases(self) -> int:
        """How often `release` was called."""
        with self._changed:
            return self._releases

    def plan(self, *replies: "Reply | Failure | str", when: Callable[[Asked], bool] | None = None) -> None:
        """Add what to answer to the next requests, or to the next of a kind."""
        with self._changed:
            self._planned += [(when, Reply(text=each) if isinstance(each, str) else each) for each in replies]

    def plan_batch(self, plan: BatchPlan) -> None:
        """Add what becomes of the next batch."""
        with self._changed:
            self._batches.append(plan)

    def next_reply(self, asked: Asked) -> Reply | Failure:
        """Note a request, and return what to answer."""
        with self._changed:
            self._asked.append(asked)
            self._changed.notify_all()
            for index, (when, reply) in enumerate(self._planned):
                if when is None or when(asked):
                    del self._planned[index]
                    return reply
        answered = self._answering(asked) if self._answering is not None else Reply()
        return Reply(text=answered) if isinstance(answered, str) else answered

    def next_batch(self) -> BatchPlan | None:
        """Return what becomes of a batch that is being created; None where nothing was planned."""
        with self._changed:
            return self._batches.pop(0) if self._batches else None

    def hold(self) -> None:
        """Wait until someone releases what is held, or the provider stops."""
        with self._changed:
            seen = self._releases
            self._held += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._releases > seen or self._is_closed)
            self._held -= 1
            self._changed.notify_all()

    def release(self) -> None:
        """Let go what is held now."""
        with self._changed:
            self._releases += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Let go what is held, now and later."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def wait_for_asked(self, count: int, within: timedelta = WAIT_WITHIN) -> None:
        """Return once so many requests have come in all."""
        self._wait(lambda: len(self._asked), count, "requests", within)

    def wait_for_held(self, count: int, within: timedelta = WAIT_WITHIN) -> None:
        """Return once so many requests are held at one time."""
        self._wait(lambda: self._held, count, "held requests", within)

    def _wait(self, present: Callable[[], int], count: int, what: str, within: timedelta) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: present() >= count, within.total_seconds()):
                raise NotAskedError(f"waited {within} for {count} {what}, there are {present()}")
