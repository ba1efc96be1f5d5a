"""Batches of a fake provider: how they wait, end, and what becomes of their items. The same for every provider."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from stageline_sdk.ai.testing.asked import Asked
from stageline_sdk.ai.testing.live import Answered, Live
from stageline_sdk.ai.testing.replies import BatchPlan, Failure
from stageline_sdk.ai.testing.script import Script

State = Literal["in_progress", "cancelling", "completed", "expired", "failed", "cancelled"]
ENDED = frozenset({"completed", "expired", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Item:
    """One request of a batch, and what became of it.

    Attributes:
        custom_id: Its id in the batch.
        asked: What it asks.
        outcome: Its answer, or why it failed; None while it has not run.
    """

    custom_id: str
    asked: Asked
    outcome: Answered | Failure | None = None


@dataclass(slots=True)
class Job:
    """A batch.

    Attributes:
        id: Its id at the provider.
        provider: Whose protocol it was created in.
        items: Its requests, in their order.
        plan: What becomes of it.
        releases: How often `release` had been called when it was created.
        created_seconds: When, in seconds of the Unix epoch; `ended_seconds` likewise.
        details: What the provider tells of it besides: metadata, a name, files.
        polls: How often its status was asked while it had not ended.
    """

    id: str
    provider: str
    items: list[Item]
    plan: BatchPlan
    releases: int
    created_seconds: int
    details: dict[str, Any] = field(default_factory=dict)
    state: State = "in_progress"
    ended_seconds: int | None = None
    polls: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether its results are there."""
        return self.state in ENDED

    def count(self, of: Callable[[Item], bool]) -> int:
        """Return how many of its items are so."""
        return sum(of(item) for item in self.items)


class Jobs:
    """All batches. Safe to use from any thread: each answer to a status is worked out at once for all who ask."""

    def __init__(self, script: Script, live: Live, plan: BatchPlan) -> None:
        """Start with none; the plan is that of batches of which the script says nothing."""
        self._script = script
        self._live = live
        self._plan = plan
        self._jobs: dict[str, Job] = {}
        self._lock = threading.RLock()

    @property
    def all(self) -> list[Job]:
        """All that were created, the oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def next_plan(self) -> BatchPlan:
        """Return what becomes of the batch that is now being created."""
        return self._script.next_batch() or self._plan

    def create(self, batch_id: str, items: Mapping[str, Asked], plan: BatchPlan, **details: Any) -> Job:
        """Take a batch.

        Raises:
            ValueError: It has no item.
        """
        if not items:
            raise ValueError("a batch must have at least one request")
        job = Job(
            id=batch_id,
            provider=next(iter(items.values())).provider,
            items=[
                Item(custom_id, replace(asked, batch_id=batch_id, custom_id=custom_id))
                for custom_id, asked in items.items()
            ],
            plan=plan,
            releases=self._script.releases,
            created_seconds=int(time.time()),
            details=details,
        )
        with self._lock:
            self._jobs[job.id] = job
        return job

    def get(self, batch_id: str) -> Job | None:
        """Return a batch as it is."""
        with self._lock:
            return self._jobs.get(batch_id)

    def poll(self, batch_id: str) -> Job | None:
        """Return a batch whose status is asked, which may be what ends it."""
        with self._lock:
            job = self._jobs.get(batch_id)
            if job is None or job.has_ended:
                return job
            if job.state == "cancelling":
                self._end(job, "cancelled")
            elif job.plan.is_held and self._script.releases <= job.releases:
                pass
            elif job.polls < job.plan.pending_polls:
                job.polls += 1
            else:
                self._end(job, job.plan.ending)
            return job

    def cancel(self, batch_id: str) -> Job | None:
        """Begin to cancel a batch: it ends when its status is asked next."""
        with self._lock:
            job = self._jobs.get(batch_id)
            if job is not None and not job.has_ended:
                job.state = "cancelling"
            return job

    def _end(self, job: Job, state: State) -> None:
        for index, item in enumerate(job.items):
            if state == "completed" or item.custom_id in job.plan.finished_ids:
                outcome = job.plan.item_failures.get(item.custom_id) or self._live.work(item.asked)
                job.items[index] = replace(item, outcome=outcome)
        job.state = state
        job.ended_seconds = int(time.time())


def page(jobs: list[Job], *, after: str, size: int) -> tuple[list[Job], bool]:
    """Return a page of batches, the newest first, and whether there are more.

    Args:
        jobs: All, the oldest first.
        after: The id of the last of the page before; empty for the first page.
        size: The most to return.
    """
    newest_first = jobs[::-1]
    ids = [job.id for job in newest_first]
    start = ids.index(after) + 1 if after in ids else 0
    return newest_first[start : start + size], len(newest_first) > start + size
