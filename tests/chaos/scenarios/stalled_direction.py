"""5. Only the direction from server to worker stalls: the worker is heard, and hears nothing."""

from dataclasses import dataclass
from datetime import timedelta

from tests.chaos.arena import Arena, Pace
from tests.chaos.audit import audit
from tests.chaos.byte_proxy import ByteProxy, Direction
from tests.chaos.load import create_runs
from tests.chaos.scenario import Figures, Scenario
from tests.chaos.stages import SLOTS

_ATTEMPTS = "SELECT count(*) FROM stages WHERE attempt <> 1"


@dataclass(frozen=True)
class Size:
    """How much.

    Attributes:
        rounds: How often the direction stalls.
        lease_seconds: A session's timeout.
    """

    rounds: int
    lease_seconds: float


def play(arena: Arena, size: Size) -> Figures:
    """Stalls the direction while the one worker holds jobs and more wait; then a second worker comes."""
    server = arena.server(Pace(size.lease_seconds, size.lease_seconds / 8))
    proxy = arena.stack.enter_context(ByteProxy(server.address))
    deaf = arena.worker(proxy.address)
    client = arena.client(server.address)
    runs: list[str] = []
    heir = None
    for number in range(size.rounds):
        before = arena.journal.count()
        proxy.stall(Direction.TO_WORKER)
        # These go to whoever has free slots: also to the worker that cannot hear of them.
        runs += create_runs(arena, client, "single", 2 * SLOTS, seconds=0.1)
        heir = heir or arena.worker(server.address)
        arena.wait_for_the_end(timedelta(minutes=2))
        assert arena.journal.count() == before + 2 * SLOTS, (
            "nothing that was never heard of is executed twice"
        )
        proxy.flow()
        # It works again afterwards, alone.
        arena.say(f"stall {number + 1} of {size.rounds}")
    assert heir is not None
    heir.terminate()
    runs += create_runs(arena, client, "single", SLOTS, seconds=0)
    arena.wait_for_the_end(timedelta(minutes=2))
    deaf.check_running()
    found = audit(arena, runs)
    found.check(repeated_max=0)
    assert arena.database.count(_ATTEMPTS) == 0, "no attempt was spent"
    return {**found.figures, "stalls": size.rounds, "attempts_spent": 0}


SCENARIO = Scenario(
    5,
    "stalled-direction",
    "only the direction from server to worker stalls",
    play,
    short=Size(rounds=1, lease_seconds=2),
    long=Size(rounds=5, lease_seconds=5),
)
