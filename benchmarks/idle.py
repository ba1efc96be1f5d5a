"""W8: what a server costs that has workers and nothing to do."""

import asyncio
import time

from benchmarks.bench import Bench
from benchmarks.database import settled_counters
from benchmarks.sessions import sessions
from benchmarks.usage import cpu_seconds, database_cpu_seconds

IDLE_SESSIONS = 10
OWN_TRANSACTIONS = 2
"""Those that read the counters."""


async def idle(bench: Bench) -> dict[str, float]:
    """Queries, by their transactions, and CPU time while ten sessions wait."""
    server, postmaster = bench.server.process.pid, bench.server.postmaster.pid
    async with sessions(bench, IDLE_SESSIONS, 1):
        before, began = settled_counters(bench.server.dsn), time.monotonic()
        cpu_before = (cpu_seconds(server), database_cpu_seconds(postmaster))
        await asyncio.sleep(bench.options.idle_seconds)
        cpu_after = (cpu_seconds(server), database_cpu_seconds(postmaster))
        settled = await asyncio.to_thread(settled_counters, bench.server.dsn)
        seconds = time.monotonic() - began
    queries = settled.transactions - before.transactions - OWN_TRANSACTIONS
    return {
        "idle_transactions_per_second": queries / seconds,
        "idle_server_cpu_share": (cpu_after[0] - cpu_before[0]) / bench.options.idle_seconds,
        "idle_database_cpu_share": (cpu_after[1] - cpu_before[1]) / bench.options.idle_seconds,
    }
