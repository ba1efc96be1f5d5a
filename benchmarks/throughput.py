"""W1: a saturated server, beside the hand-written loop."""

import time

from benchmarks.bench import Bench
from benchmarks.database import settled_counters
from benchmarks.limit import measure_limit
from benchmarks.load import saturate
from benchmarks.stages import Meters, costs
from benchmarks.usage import database_cpu_seconds

LIMIT_CONNECTIONS = (1, 2, 4)


async def throughput(bench: Bench) -> dict[str, float]:
    """The limit first, then runs of three stages as fast as the server takes them, and their ratio."""
    found = _limit(bench)
    before = Meters.read(bench.server, bench.worker.pid)
    load = await saturate(bench.client, bench.options.runs)
    after = Meters.read(bench.server, bench.worker.pid)
    settled = settled_counters(bench.server.dsn)
    return {
        **found,
        "stages_per_second": load.stages_per_second,
        "runs_created_per_second": load.runs_created_per_second,
        **costs(before, after, settled, load),
        "stages_per_second__limit": load.stages_per_second / found["limit_stages_per_second"],
    }


def _limit(bench: Bench) -> dict[str, float]:
    """The hand-written loop on each number of connections; the best is the yardstick of the round."""
    postmaster = bench.server.postmaster.pid
    cpu = database_cpu_seconds(postmaster) + time.process_time()
    results = [
        measure_limit(bench.limit_dsn, connections=connections, runs=bench.options.runs)
        for connections in LIMIT_CONNECTIONS
    ]
    cpu = database_cpu_seconds(postmaster) + time.process_time() - cpu
    rates = {
        f"limit_{result.connections}_connections_stages_per_second": result.stages_per_second
        for result in results
    }
    return {
        **rates,
        "limit_stages_per_second": max(rates.values()),
        "limit_cpu_seconds_per_1000_stages": cpu * 1000 / sum(result.stages for result in results),
    }
