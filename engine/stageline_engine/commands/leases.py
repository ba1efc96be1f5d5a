"""Commands about the leases of workers without a stream, and their results."""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from stageline_engine.commands.base import Command
from stageline_engine.commands.jobs import LeaseDemand
from stageline_engine.limits import LEASE_DURATION


@dataclass(frozen=True, slots=True)
class LeaseOnce(Command["LeasedOnce"]):
    """``job.leaseOnce``: hand ready jobs to a session without a stream, of any run or of a given one.

    As ``job.lease`` for one session, and safe to repeat: a repeat with the same key returns the leases of the first call, as
    far as they are still held. A call that leased nothing is not remembered.

    A repeat with the same key is no further lease; another request under it is refused with ``REQUEST_ID_REUSED``. The key
    is written in the transaction of the leases.

    Reached by ``WorkerService.LeaseJobs``, and by ``job.execute``.

    Attributes:
        namespace: The tenant.
        demand: The session, what it can run, and how many jobs to lease at most.
        run_id: Only jobs of this run; None for any.
        stage_id: Only the job of this stage of it; empty for any.
        idempotency_key: Names the call; empty where a repeat may lease further jobs.
    """

    namespace: str
    demand: LeaseDemand
    run_id: UUID | None = None
    stage_id: str = ""
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class LeasedOnce:
    """Result of ``LeaseOnce``; the offers themselves are among the batch's effects.

    Attributes:
        session_id: Whose leases they are: of a repeat, the first call's session.
        leased: How many jobs were leased, or are still held of the first call.
        contended: Ready jobs were passed over since another transaction held their runs, or given up with a run that can never
            go on: ask again soon.
        replayed: Whether this is a repeat.
    """

    session_id: UUID
    leased: int
    contended: bool = False
    replayed: bool = False


class LeaseName(NamedTuple):
    """A lease as a token names it."""

    run_id: UUID
    stage_number: int
    lease_token: UUID


@dataclass(frozen=True, slots=True)
class ExtendLeases(Command["LeasesExtended"]):
    """``lease.extend``: renew the leases of sessions without a stream, all in one write.

    A session holds its leases together: extending one extends all of its. Leases of a session with a stream are kept by the
    stream, and are not extended here.

    A repeat extends them again.

    Reached by ``WorkerService.ExtendLeases``, and by ``job.execute`` and ``stage.pollSuspended`` while their executor works.

    Attributes:
        namespace: The tenant.
        leases: The leases, at most ``LEASES_PER_CALL_MAX``.
        lasts: How long they last from now on.
    """

    namespace: str
    leases: tuple[LeaseName, ...]
    lasts: timedelta = LEASE_DURATION


@dataclass(frozen=True, slots=True)
class LeasesExtended:
    """Result of ``ExtendLeases``.

    Attributes:
        lease_tokens: Those that were extended. The others are not live, or belong to a session with a stream.
    """

    lease_tokens: frozenset[UUID]
