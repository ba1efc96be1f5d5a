"""8. A stage that kills its worker each time."""

from dataclasses import dataclass
from datetime import timedelta

from stageline_engine.decide.stale import WORKER_LOST
from stageline_engine.limits import DELIVERIES_PER_ATTEMPT_MAX
from tests.chaos.arena import Arena, Pace
from tests.chaos.audit import audit
from tests.chaos.load import create_runs
from tests.chaos.scenario import Figures, Scenario
from tests.chaos.stages import SLOTS
from tests.support.processes import Process
from tests.waiting import eventually_sync

WORKERS = 2
_DELIVERIES = "SELECT DISTINCT delivery FROM stages WHERE state = 'FAILED'"


@dataclass(frozen=True)
class Size:
    """How much.

    Attributes:
        poisons: Runs whose stage kills its worker.
        others: Runs beside them.
        seconds: That the stages of those take.
        slots: Of each worker. What shares a worker with a poison dies with it, and may in the end be taken for one: where
            workers come back slowly, only one slot keeps the others safe.
    """

    poisons: int
    others: int
    seconds: float
    slots: int


def play(arena: Arena, size: Size) -> Figures:
    """Starts workers anew as they die, as any supervisor does, until every run has ended."""
    server = arena.server(Pace(session_seconds=1, heartbeat_seconds=0.25))

    def start() -> Process:
        return arena.start_worker(server.address, "doomed_worker", "--concurrency", str(size.slots))

    workers = arena.connected([start() for _ in range(WORKERS)])
    client = arena.client(server.address)
    poisons = create_runs(arena, client, "poison", size.poisons)
    others = create_runs(arena, client, "single", size.others, seconds=size.seconds)
    deaths = 0

    def tend() -> bool:
        nonlocal deaths
        for place, each in enumerate(workers):
            if each.exit_code is not None:
                deaths += 1
                workers[place] = start()
        return arena.database.open_runs() == 0

    eventually_sync(tend, what="the end of all runs", within=timedelta(minutes=10))
    found = audit(arena, others)
    found.check()
    assert audit(arena, poisons, ("FAILED",)).lost == 0
    executions = arena.journal.executions()
    assert max(executions[run_id, "kill"] for run_id in poisons) <= DELIVERIES_PER_ATTEMPT_MAX
    # Some were handed to a worker that another one killed before it began them.
    assert arena.database.query(_DELIVERIES) == [(DELIVERIES_PER_ATTEMPT_MAX,)]
    listed = list(client.list_runs(status=["FAILED"]))
    assert sorted(run.id for run in listed) == sorted(poisons)
    for run in listed:
        error = client.get_run(run.id).stages[0].error
        assert error is not None
        assert error.type == WORKER_LOST, error
    return {**found.figures, "poisons": size.poisons, "deaths": deaths, "bound": DELIVERIES_PER_ATTEMPT_MAX}


SCENARIO = Scenario(
    8,
    "poison",
    "a stage that kills its worker each time",
    play,
    short=Size(poisons=1, others=20, seconds=0.1, slots=1),
    long=Size(poisons=8, others=400, seconds=0.5, slots=SLOTS),
)
