"""Hints between servers: something changed, look. A lost hint costs time, never a job."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from stageline_engine.commands import LeaseReference


@dataclass(frozen=True, slots=True)
class Hint:
    """What changed.

    Attributes:
        routes: Routes with jobs that wait for a worker.
        runs: Runs with new events; empty with ``all_runs`` where there were too many to name.
        stopped: Leases that no longer count.
        wake_at: A job waits for this time.
        all_runs: Whether watchers of any run should look.
        revoked_tokens: Access tokens that were taken back.
        all_tokens: Whether hints may have been lost, so that whoever knows a token should look it up again.
    """

    routes: frozenset[int] = frozenset()
    runs: frozenset[UUID] = frozenset()
    stopped: tuple[LeaseReference, ...] = ()
    wake_at: datetime | None = None
    all_runs: bool = False
    revoked_tokens: frozenset[UUID] = frozenset()
    all_tokens: bool = False


LOOK_AT_EVERYTHING = Hint(all_runs=True, all_tokens=True)
"""Hints may have been lost."""


class JobTransport(Protocol):
    """Carries hints to the other servers on the same state.

    Atomic: a hint arrives whole or not at all; it may be lost, and come late or twice. What cannot be carried is dropped and
    made up for by ``LOOK_AT_EVERYTHING``; where the carrier is away, the call says so with ``StorageUnavailableError``.
    """

    @property
    def has_company(self) -> bool:
        """Whether anybody else may listen; a server that is alone need not announce what it knows itself."""
        ...

    async def announce(self, hint: Hint) -> None:
        """Sends a hint to every listener, also to this server's own."""
        ...

    def listen(self) -> AsyncIterator[Hint]:
        """Yields hints as they come. After a broken connection it yields ``LOOK_AT_EVERYTHING``."""
        ...
