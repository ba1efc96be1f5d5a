"""2. SIGKILL of one of four workers, again and again, under load."""

from dataclasses import dataclass
from datetime import timedelta

from tests.chaos.arena import Arena, Pace
from tests.chaos.audit import audit
from tests.chaos.load import create_runs, every_slot_works
from tests.chaos.scenario import Figures, Scenario
from tests.chaos.stages import SLOTS

WORKERS = 4


@dataclass(frozen=True)
class Size:
    """How much.

    Attributes:
        runs: Of four stages each.
        seconds: That a stage takes.
        kills: How many there are.
        stages_between: Executions between two kills.
    """

    runs: int
    seconds: float
    kills: int
    stages_between: int


def play(arena: Arena, size: Size) -> Figures:
    """Kills the workers in turn, each in the middle of what it does, and puts another in its place."""
    server = arena.server(Pace(session_seconds=1.5, heartbeat_seconds=0.25))
    workers = arena.workers(server.address, WORKERS)
    client = arena.client(server.address)
    runs = create_runs(arena, client, "order", size.runs, seconds=size.seconds)
    for number in range(size.kills):
        arena.journal.wait_for((number + 1) * size.stages_between, within=timedelta(minutes=2))
        workers[number % WORKERS].kill()
        workers[number % WORKERS] = arena.start_worker(server.address)
        arena.say(f"kill {number + 1} of {size.kills}")
    arena.wait_for_the_end(timedelta(minutes=10))
    arena.connected(workers)
    runs += every_slot_works(arena, client, workers)
    found = audit(arena, runs)
    found.check(repeated_max=size.kills * SLOTS)
    assert found.repeated, "no kill hit a stage: the storm was none"
    return {**found.figures, "kills": size.kills, "kills_times_slots": size.kills * SLOTS}


SCENARIO = Scenario(
    2,
    "workers-killed",
    "SIGKILL of one of four workers, again and again",
    play,
    short=Size(runs=20, seconds=0.2, kills=2, stages_between=25),
    long=Size(runs=500, seconds=0.2, kills=20, stages_between=90),
)
