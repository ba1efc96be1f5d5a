"""`make bench`: starts a server, a database and a worker, measures them beside a hand-written loop, and stops them.

Rounds are interleaved (loop, saturation, single runs, loop, ...), so that a machine that slows down slows all of them.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks import usage, workflows
from benchmarks.database import make_limit_database, require_durability, settled_counters
from benchmarks.limit import measure_limit
from benchmarks.load import saturate, single_runs
from benchmarks.profile import profiled, show_profile
from benchmarks.report import Report, machine
from benchmarks.samples import Sample, percentile
from benchmarks.stages import Meters, costs
from stageline_sdk import Client
from tests.support.processes import Process, Processes
from tests.support.stack import DevServer, Stack

LIMIT_CONNECTIONS = (1, 2, 4)
MILLISECONDS = 1000


@dataclass(frozen=True)
class Bench:
    """What is measured, all of it running.

    Attributes:
        server: Server and database.
        worker: The worker process.
        limit_dsn: The database of the hand-written loop, in the same PostgreSQL.
        options: What the command line said.
        console: Where progress is told.
    """

    server: DevServer
    worker: Process
    limit_dsn: str
    options: argparse.Namespace
    console: Console


def parse(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=3000, help="runs of 3 stages in a round of saturation")
    parser.add_argument(
        "--single-runs", type=int, default=200, help="single runs in a round, of 1 and of 3 stages"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the median of them counts")
    parser.add_argument("--concurrency", type=int, default=200, help="stages that the worker runs at once")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="write samples of the server's stacks to FILE, and sum them up, instead",
    )
    return parser.parse_args(arguments)


@contextlib.contextmanager
def running(options: argparse.Namespace, console: Console) -> Iterator[Bench]:
    """Starts everything in a temporary folder, and ends and removes it."""
    with tempfile.TemporaryDirectory(prefix="stageline-bench-") as name:
        folder = Path(name)
        processes = Processes(folder / "logs")
        stack = Stack(processes, folder, server_command=profiled(options.profile) if options.profile else ())
        try:
            server = stack.dev()
            require_durability(server.dsn)
            worker = stack.worker(
                "benchmarks.workflows:worker", server, "--concurrency", str(options.concurrency)
            )
            yield Bench(server, worker, make_limit_database(server.dsn, processes), options, console)
        finally:
            processes.end()


async def measure(bench: Bench) -> Report:
    """Runs all rounds."""
    options = bench.options
    values: dict[str, list[float]] = defaultdict(list)
    with usage.Peak(lambda: usage.database_memory_bytes(bench.server.postmaster.pid)) as database_memory:
        async with Client(bench.server.address) as client:
            await saturate(client, options.runs // 10)  # warms up
            for number in range(1, options.rounds + 1):
                found = {**_limit(bench), **await _saturation(bench, client), **await _single(bench, client)}
                found["stages_per_second__limit"] = (
                    found["stages_per_second"] / found["limit_stages_per_second"]
                )
                bench.console.print(
                    f"round {number} of {options.rounds}: {found['stages_per_second']:,.0f} stages/s"
                )
                for name, value in found.items():
                    values[name].append(value)
    peaks = {
        "server_peak_memory_mib": usage.peak_memory_bytes(bench.server.process.pid),
        "worker_peak_memory_mib": usage.peak_memory_bytes(bench.worker.pid),
        "database_peak_memory_mib": database_memory.value,
    }
    for name, size_bytes in peaks.items():
        values[name] = [size_bytes / usage.MEBIBYTE]
    setting = {
        **machine(),
        "payload_bytes": workflows.PAYLOAD_BYTES,
        "runs_per_round": options.runs,
        "rounds": options.rounds,
        "worker_concurrency": options.concurrency,
    }
    return Report(setting, {name: Sample.of(each) for name, each in values.items()})


def _limit(bench: Bench) -> dict[str, float]:
    """The hand-written loop on each number of connections; the best is the yardstick of the round."""
    rates = {
        f"limit_{connections}_connections_stages_per_second": measure_limit(
            bench.limit_dsn, connections=connections, runs=bench.options.runs
        ).stages_per_second
        for connections in LIMIT_CONNECTIONS
    }
    return {**rates, "limit_stages_per_second": max(rates.values())}


async def _saturation(bench: Bench, client: Client) -> dict[str, float]:
    before = Meters.read(bench.server, bench.worker.pid)
    load = await saturate(client, bench.options.runs)
    after = Meters.read(bench.server, bench.worker.pid)
    settled = settled_counters(bench.server.dsn)
    return {
        "stages_per_second": load.stages_per_second,
        "runs_created_per_second": load.runs_created_per_second,
        **costs(before, after, settled, load),
    }


async def _single(bench: Bench, client: Client) -> dict[str, float]:
    found = {}
    for stages, workflow in ((1, workflows.ONE_STAGE), (3, workflows.THREE_STAGES)):
        seconds = await single_runs(client, workflow, bench.options.single_runs)
        found[f"single_run_of_{stages}_p50_ms"] = percentile(seconds, 0.5) * MILLISECONDS
        found[f"single_run_of_{stages}_p99_ms"] = percentile(seconds, 0.99) * MILLISECONDS
    return found


async def warm_load(bench: Bench) -> None:
    """Saturates the server once, for its profile."""
    async with Client(bench.server.address) as client:
        load = await saturate(client, bench.options.runs)
    bench.console.print(f"{load.stages_per_second:,.0f} stages/s under the profiler")


def main() -> None:
    """Measures, and prints what was found."""
    options = parse(sys.argv[1:])
    console = Console(stderr=True)
    if options.profile:
        with running(options, console) as bench:
            asyncio.run(warm_load(bench))
        show_profile(options.profile)
        return
    with running(options, console) as bench:
        report = asyncio.run(measure(bench))
    if options.json:
        print(report.as_json())
    else:
        report.show(Console())


if __name__ == "__main__":
    main()
