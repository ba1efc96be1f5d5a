"""7. A thousand running stages cancelled at once."""

import time
from dataclasses import dataclass
from datetime import timedelta

from tests.chaos.arena import Arena, Pace
from tests.chaos.audit import audit
from tests.chaos.load import create_runs
from tests.chaos.scenario import Figures, Scenario
from tests.chaos.stages import WIDTH

_LATE = """
    SELECT count(*) FROM events AS late JOIN events AS ended USING (run_id)
    WHERE ended.type = 'workflow:cancelled' AND late.sequence > ended.sequence AND late.type <> 'stage:cancelled'"""


_COMPLETED = "SELECT count(*) FROM events WHERE type = 'stage:completed'"


@dataclass(frozen=True)
class Size:
    """How much.

    Attributes:
        runs: Of a hundred stages each, which all run at once.
    """

    runs: int


def play(arena: Arena, size: Size) -> Figures:
    """Cancels all runs: first while no stage ends by itself, then while many do, so that success and cancellation race."""
    stages = size.runs * WIDTH
    server = arena.server(Pace(session_seconds=15, heartbeat_seconds=2))
    concurrency = ("--concurrency", str(stages // 2))
    workers = [arena.start_worker(server.address, "wide_worker", *concurrency) for _ in range(2)]
    arena.connected(workers)
    client = arena.client(server.address)
    runs = create_runs(arena, client, "cancelled", size.runs)
    arena.journal.wait_for(stages)
    began = time.monotonic()
    for run_id in runs:
        client.cancel_run(run_id)
    asked = time.monotonic()
    arena.journal.wait_for(stages, "told")
    told = time.monotonic()
    assert arena.database.count(_COMPLETED) == 0, "no success was accepted"
    # All slots are free again, or these would never all have begun.
    racing = create_runs(arena, client, "cancelled", size.runs, seconds=2.0)
    arena.journal.wait_for(2 * stages)
    for run_id in racing:
        client.cancel_run(run_id)
    arena.wait_for_the_end(timedelta(minutes=2))
    for each in workers:
        assert each.terminate() == 0, "a worker that owes nothing drains at once"
    found = audit(arena, [*runs, *racing], ("CANCELLED", "COMPLETED"))
    found.check(repeated_max=0)
    assert 0 < found.stages < stages, "success and cancellation did not race"
    assert arena.database.count(_LATE) == 0, "nothing was told of a run after its end"
    return {
        **found.figures,
        "cancelled_at_once": stages,
        "cancel_calls_seconds": round(asked - began, 2),
        "all_told_after_seconds": round(told - asked, 2),
    }


SCENARIO = Scenario(
    7,
    "mass-cancel",
    "1,000 running stages cancelled at once",
    play,
    short=Size(runs=3),
    long=Size(runs=10),
)
