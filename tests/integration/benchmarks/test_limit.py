"""The hand-written loop writes what Stageline writes, or the yardstick would be too long."""

import psycopg

from benchmarks.limit import measure_limit
from stageline_migrations import upgrade
from tests.support.fixtures import CreateDatabase
from tests.support.invariants import violations

EVENTS_OF_A_RUN_OF_THREE_STAGES = [
    "workflow:created",
    "workflow:started",
    "stage:started",
    *("stage:completed", "run:advanced", "stage:started") * 2,
    "stage:completed",
    "workflow:completed",
]


def test_the_loop_leaves_whole_runs(create_database: CreateDatabase) -> None:
    url = create_database(upgrade)
    result = measure_limit(url, connections=2, runs=100)
    assert (result.connections, result.stages_per_second > 0) == (2, True)
    assert violations(url) == {}
    with psycopg.connect(url) as connection:
        states = connection.execute("SELECT state, count(*) FROM runs GROUP BY state").fetchall()
        events = connection.execute("SELECT type FROM events WHERE run_id = (SELECT min(id::text)::uuid FROM runs) "
                                    "ORDER BY sequence").fetchall()  # fmt: skip
    assert states == [("COMPLETED", 400)], "a batch on each connection to prepare, and one that counts"
    assert [name for (name,) in events] == EVENTS_OF_A_RUN_OF_THREE_STAGES
