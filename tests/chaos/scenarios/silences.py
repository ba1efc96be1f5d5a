"""4. A network that is silent for less than a lease, and a worker that is stopped for longer than its own."""

from dataclasses import dataclass
from datetime import timedelta

from tests.chaos.arena import Arena, Pace
from tests.chaos.audit import audit
from tests.chaos.byte_proxy import ByteProxy
from tests.chaos.load import create_runs
from tests.chaos.scenario import Figures, Scenario
from tests.chaos.stages import SLOTS
from tests.support.processes import stopped
from tests.waiting import eventually_sync

_BOOKED = "SELECT count(*) FROM ai_calls"
_WASTED = "SELECT count(*) FROM ai_calls JOIN lost_leases USING (run_id, stage_number, lease_token)"


@dataclass(frozen=True)
class Size:
    """How long; what is not said here is in proportion to the lease.

    Attributes:
        lease_seconds: A session's timeout; stages take a third longer, and the network is silent for two thirds of it.
        partitions: How often it is silent.
    """

    lease_seconds: float
    partitions: int


def play(arena: Arena, size: Size) -> Figures:
    """Plays the two silences, one after the other."""
    server = arena.server(Pace(size.lease_seconds, size.lease_seconds / 8))
    proxy = arena.stack.enter_context(ByteProxy(server.address))
    worker = arena.worker(proxy.address)
    client = arena.client(server.address)
    for number in range(size.partitions):
        before = arena.journal.count()
        create_runs(arena, client, "single", SLOTS, seconds=size.lease_seconds * 4 / 3)
        arena.journal.wait_for(before + SLOTS)
        proxy.stall()
        arena.pause(size.lease_seconds * 2 / 3)
        proxy.flow()
        arena.wait_for_the_end(timedelta(minutes=2))
        arena.say(f"partition {number + 1} of {size.partitions}")
    runs = [run.id for run in client.list_runs()]
    calm = audit(arena, runs)
    calm.check(repeated_max=0)
    assert calm.executions == size.partitions * SLOTS
    worker.check_running()
    spent = create_runs(arena, client, "spending", SLOTS)
    arena.journal.wait_for(calm.executions + SLOTS)
    with stopped(worker.pid):
        heir = arena.worker(server.address)
        arena.journal.wait_for(calm.executions + 2 * SLOTS, within=timedelta(minutes=2))
        arena.journal.open_gate()
        arena.journal.wait_for(calm.executions + 3 * SLOTS, within=timedelta(minutes=2))
        assert arena.database.count(_BOOKED) == SLOTS
        # The late worker is to come to its end before it can hear that nobody wants it any more.
        proxy.stall()
    arena.journal.wait_for(2 * SLOTS, "spent")
    proxy.flow()
    eventually_sync(
        lambda: worker.log().count("too late: another delivery counts") == SLOTS,
        what="every report of the worker that woke too late to be superseded",
        within=timedelta(minutes=2),
    )
    eventually_sync(lambda: arena.database.count(_BOOKED) == 2 * SLOTS, what="what it spent, on the books")
    arena.journal.open_gate("linger")
    arena.wait_for_the_end(timedelta(minutes=2))
    for each in (worker, heir):
        each.check_running()
    found = audit(arena, [*runs, *spent])
    found.check(repeated_max=SLOTS)
    wasted = arena.database.count(_WASTED)
    assert wasted == SLOTS, "what the late worker spent is booked as waste"
    return {
        **found.figures,
        "partitions": size.partitions,
        "repeated_by_partitions": calm.repeated,
        "superseded": SLOTS,
        "ai_calls_booked": 2 * SLOTS,
        "ai_calls_wasted": wasted,
    }


SCENARIO = Scenario(
    4,
    "silences",
    "partitions shorter than the lease, and a worker stopped for longer than its own",
    play,
    short=Size(lease_seconds=3, partitions=1),
    long=Size(lease_seconds=15, partitions=3),
)
