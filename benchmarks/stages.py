"""What a stage costs: counters of processes and database before and after a load, divided by its stages."""

import os
import time
from dataclasses import dataclass

from benchmarks.database import Counters, read_counters
from benchmarks.load import Throughput
from benchmarks.usage import cpu_seconds, database_cpu_seconds, machine_cpu_seconds
from tests.support.stack import DevServer

# Meters of the processes that the benchmark itself runs.
OURS = ("server_cpu", "worker_cpu", "caller_cpu", "database_cpu")


@dataclass(frozen=True)
class Meters:
    """Readings at one moment; CPU in seconds.

    Attributes:
        server_cpu: Of the server's process; likewise the next ones.
        machine_cpu: Of everything on the machine.
    """

    server_cpu: float
    worker_cpu: float
    caller_cpu: float
    database_cpu: float
    machine_cpu: float
    counters: Counters

    @classmethod
    def read(cls, server: DevServer, worker_pid: int, counters: Counters | None = None) -> "Meters":
        """Reads all meters.

        Args:
            server: The server and its database.
            worker_pid: The worker.
            counters: The database's counters, where they are read apart.
        """
        return cls(
            cpu_seconds(server.process.pid),
            cpu_seconds(worker_pid),
            time.process_time(),
            database_cpu_seconds(server.postmaster.pid),
            machine_cpu_seconds(),
            counters or read_counters(server.dsn),
        )


def costs(before: Meters, after: Meters, settled: Counters, load: Throughput) -> dict[str, float]:
    """Returns what each stage cost, by quantity.

    Args:
        before: Read before the load.
        after: Read right after it.
        settled: Read when the database's sessions had told all.
        load: What was done in between.
    """
    thousands = load.stages / 1000
    used = sum(getattr(after, name) - getattr(before, name) for name in OURS)
    others = (after.machine_cpu - before.machine_cpu - used) / (load.seconds * len(os.sched_getaffinity(0)))
    return {
        "share_of_the_machine_used_by_others": max(0.0, others),
        "server_cpu_seconds_per_1000_stages": (after.server_cpu - before.server_cpu) / thousands,
        "worker_cpu_seconds_per_1000_stages": (after.worker_cpu - before.worker_cpu) / thousands,
        "caller_cpu_seconds_per_1000_stages": (after.caller_cpu - before.caller_cpu) / thousands,
        "database_cpu_seconds_per_1000_stages": (after.database_cpu - before.database_cpu) / thousands,
        "writing_transactions_per_stage": (after.counters.writes - before.counters.writes) / load.stages,
        "transactions_per_stage": (settled.transactions - before.counters.transactions) / load.stages,
        "wal_bytes_per_stage": (after.counters.wal_bytes - before.counters.wal_bytes) / load.stages,
    }
