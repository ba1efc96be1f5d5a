"""1. Each frame type dropped, delayed and duplicated, with probability."""

from dataclasses import dataclass
from datetime import timedelta

from tests.chaos.arena import Arena, Pace
from tests.chaos.audit import audit
from tests.chaos.frame_faults import SERVER_KINDS, WORKER_KINDS, Fault, FrameFaults
from tests.chaos.frame_proxy import FrameProxy
from tests.chaos.load import create_runs, every_slot_works
from tests.chaos.scenario import Figures, Scenario
from tests.chaos.stages import STAGES

WORKERS = 2
# Kinds that come once in a stream, or seldom at all, are hurt oftener.
SELDOM = {
    "hello": 0.08,
    "welcome": 0.08,
    "held_lease_verdict": 0.08,
    "directive": 0.25,
    "directive_done": 0.25,
    "drain": 0.25,
    "ping": 0.05,
}


@dataclass(frozen=True)
class Size:
    """How much.

    Attributes:
        runs: Of four stages each.
        rate: Probability of each fault for each kind of item.
        kinds_hit: How many of the kinds must have been hurt, or the storm was none.
    """

    runs: int
    rate: float
    kinds_hit: int


def play(arena: Arena, size: Size) -> Figures:
    """Runs flow through the proxy while it hurts frames; a few are cancelled, so that directives flow as well."""
    server = arena.server(Pace(session_seconds=2, heartbeat_seconds=0.2))
    faults = FrameFaults(arena.chance, size.rate, SELDOM)
    proxy = arena.stack.enter_context(FrameProxy(server.address, faults))
    workers = arena.workers(proxy.address, WORKERS)
    client = arena.client(server.address)
    doomed = create_runs(arena, client, "single", size.runs // 20, seconds=3600)
    runs = create_runs(arena, client, "order", size.runs, talks=True, seconds=0.01)
    for run_id in doomed:
        client.cancel_run(run_id)
    arena.wait_for_the_end(timedelta(minutes=10))
    faults.calm()
    runs += every_slot_works(arena, client, workers)
    found = audit(arena, runs)
    found.check()
    assert audit(arena, doomed, ("CANCELLED",)).lost == 0
    booked = arena.database.count("SELECT count(*) FROM ai_calls")
    talked = sum(each.stage_id in STAGES for each in arena.journal.marks())
    assert booked == talked, "each execution spent money once, and it is booked once"
    hurt = {kind for kind, _ in faults.counts}
    assert len(hurt & {*WORKER_KINDS, *SERVER_KINDS}) >= size.kinds_hit, faults.counts
    by_fault = {
        f"frames_{fault}": sum(n for (_, f), n in faults.counts.items() if f is fault) for fault in Fault
    }
    return {**found.figures, "frames": faults.passed, **by_fault, "kinds_hurt": len(hurt)}


SCENARIO = Scenario(
    1,
    "frames",
    "each frame type dropped, delayed and duplicated by chance",
    play,
    short=Size(runs=25, rate=0.01, kinds_hit=5),
    long=Size(runs=600, rate=0.005, kinds_hit=13),
)
