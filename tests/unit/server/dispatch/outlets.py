"""Outlets that keep what they are given, and sessions in one line."""

from uuid import UUID, uuid4

from stageline_engine.commands import JobOffer, LeaseReference
from stageline_engine.model.job import JobKind
from stageline_server.dispatch.sessions import LocalSession


class CollectingOutlet:
    """The Outlet port for tests."""

    def __init__(self) -> None:
        self.offers: list[JobOffer] = []
        self.stopped: list[LeaseReference] = []
        self.drained = 0
        self.closed: list[str] = []
        self.waiting_bytes = 0

    def send_offer(self, offer: JobOffer) -> None:
        self.offers.append(offer)

    def send_stop(self, lease: LeaseReference) -> None:
        self.stopped.append(lease)

    def send_drain(self) -> None:
        self.drained += 1

    def close(self, reason: str) -> None:
        self.closed.append(reason)


def session(*route_ids: int, slots: int = 10, free: int | None = None) -> LocalSession:
    """A session with all its slots free unless said otherwise."""
    made = LocalSession(uuid4(), "default", route_ids or (1,), slots, CollectingOutlet())
    made.set_credit(slots if free is None else free, 0)
    return made


def offer_to(holder: LocalSession, run_id: UUID | None = None) -> JobOffer:
    """A job leased to a session."""
    lease = LeaseReference(holder.id, uuid4(), run_id or uuid4(), 1)
    return JobOffer(
        lease=lease,
        namespace="default",
        workflow_name="w",
        workflow_version=1,
        stage_id="s",
        kind=JobKind.EXECUTE,
        generation=1,
        attempt=2,
        delivery=1,
        priority=5,
        start_to_close=None,
        config="{}",
        run_input="{}",
        input_stage_ids=(),
        outputs={},
        completed_stage_ids=(),
    )
