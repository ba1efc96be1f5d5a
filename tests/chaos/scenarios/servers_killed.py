"""3. SIGKILL of one of two servers again and again, and rolling restarts, while acknowledgements are lost and stages fail."""

from dataclasses import dataclass
from datetime import timedelta

from tests.chaos.arena import Arena, Pace
from tests.chaos.audit import audit
from tests.chaos.byte_proxy import ByteProxy
from tests.chaos.frame_faults import Fault, FrameFaults
from tests.chaos.frame_proxy import FrameProxy
from tests.chaos.load import create_runs, every_slot_works
from tests.chaos.scenario import Figures, Scenario

WORKERS = 2
ACKNOWLEDGEMENTS_LOST = 0.1
_RETRIED = "SELECT count(*) FROM events WHERE type = 'stage:retry_scheduled'"


@dataclass(frozen=True)
class Size:
    """How much.

    Attributes:
        runs: Of four stages each; every fifth stage fails once.
        seconds: That a stage takes.
        ends: How often a server ends: by SIGKILL and by SIGTERM in turn.
        stages_between: Executions between two ends.
    """

    runs: int
    seconds: float
    ends: int
    stages_between: int


def play(arena: Arena, size: Size) -> Figures:
    """Ends the two servers in turn behind a balancer, behind a proxy that loses a tenth of the acknowledgements."""
    pace = Pace(session_seconds=6, heartbeat_seconds=0.25, drain_seconds=1)
    servers = [arena.server(pace, name) for name in ("server-one", "server-two")]
    balancer = arena.stack.enter_context(ByteProxy(*(server.address for server in servers)))
    faults = FrameFaults(
        arena.chance, rates={"report_acknowledgement": ACKNOWLEDGEMENTS_LOST}, only=(Fault.DROP,)
    )
    proxy = arena.stack.enter_context(FrameProxy(balancer.address, faults))
    workers = arena.workers(proxy.address, WORKERS)
    client = arena.client(balancer.address)
    runs = create_runs(arena, client, "order", size.runs, flaky=True, seconds=size.seconds)
    for number in range(size.ends):
        arena.journal.wait_for((number + 1) * size.stages_between, within=timedelta(minutes=2))
        servers[number // 2 % 2].restart(crash=number % 2 == 0)
        arena.say(f"end {number + 1} of {size.ends}")
    arena.wait_for_the_end(timedelta(minutes=10))
    faults.calm()
    runs += every_slot_works(arena, client, workers)
    found = audit(arena, runs)
    found.check()
    lost = sum(faults.counts.values())
    assert lost, "no acknowledgement was lost: the storm was none"
    retried = arena.database.count(_RETRIED)
    assert retried >= size.runs * 4 // 5, "every fifth stage failed once"
    return {
        **found.figures,
        "server_ends": size.ends,
        "acknowledgement_frames_lost": lost,
        "failed_once": retried,
    }


SCENARIO = Scenario(
    3,
    "servers-killed",
    "SIGKILL and rolling restarts of two servers, a tenth of acknowledgements lost, every fifth stage failing once",
    play,
    short=Size(runs=20, seconds=0.1, ends=2, stages_between=25),
    long=Size(runs=500, seconds=0.1, ends=20, stages_between=80),
)
