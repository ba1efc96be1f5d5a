"""W7: many suspended stages that become due for their check at the same moment."""

import time
from collections.abc import Callable
from datetime import timedelta

import psycopg

from benchmarks import workflows
from benchmarks.bench import Bench
from benchmarks.load import create_runs
from benchmarks.usage import cpu_seconds
from tests.waiting import eventually

LIVE = "SELECT count(*), count(*) FILTER (WHERE state = 'DELAYED') FROM jobs"
DUE = "UPDATE jobs SET available_at = now(), version = version + 1 WHERE state = 'DELAYED'"
WITHIN = timedelta(minutes=10)


async def suspended(bench: Bench) -> dict[str, float]:
    """Suspends runs, makes all of them due past the server, and counts the checks a second from the first to the last."""
    count, server = bench.options.suspended, bench.server.process.pid
    await create_runs(bench.client, count, workflows.SUSPENDING)
    with psycopg.connect(bench.server.dsn, autocommit=True) as connection:
        await _until(connection, lambda live, delayed: live == delayed == count)
        cpu = cpu_seconds(server)
        connection.execute(DUE)
        await _until(connection, lambda live, _: live < count)
        began = time.perf_counter()
        await _until(connection, lambda live, _: live == 0)
        seconds = time.perf_counter() - began
    return {
        "checks_per_second": count / seconds,
        "server_cpu_seconds_per_1000_checks": (cpu_seconds(server) - cpu) * 1000 / count,
    }


async def _until(
    connection: psycopg.Connection[tuple[int, int]], reached: Callable[[int, int], bool]
) -> None:
    async def look() -> bool:
        row = connection.execute(LIVE).fetchone()
        return row is not None and reached(*row)

    await eventually(look, what="the suspended jobs", within=WITHIN)
