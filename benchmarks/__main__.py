"""`make bench`: starts a server, a database and a worker, measures them beside a hand-written loop, and stops them.

Rounds are interleaved (loop, saturation, single runs, loop, ...), so that a machine that slows down slows all of them.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from rich.console import Console

from benchmarks import usage, workflows
from benchmarks.bench import Bench
from benchmarks.database import make_limit_database, require_durability
from benchmarks.feel import feel
from benchmarks.growth import growth
from benchmarks.idle import idle
from benchmarks.latency import fan_out, latency
from benchmarks.load import saturate
from benchmarks.profile import profiled, show_profile
from benchmarks.report import Report, machine
from benchmarks.samples import Sample
from benchmarks.sessions import many_sessions
from benchmarks.suspended import suspended
from benchmarks.throughput import throughput
from benchmarks.two_servers import two_servers
from stageline_sdk import Client
from tests.support.processes import Processes
from tests.support.stack import Stack

WORKLOADS: Mapping[str, Callable[[Bench], Awaitable[Mapping[str, float]]]] = {
    "W1": throughput,
    "W2": latency,
    "W3": fan_out,
    "W5": many_sessions,
    "W6": two_servers,
    "W7": suspended,
    "W8": idle,
    "feel": feel,
    "W4": growth,  # the last, since what it adds to the database stays
}


def parse(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add(
        "--workloads",
        nargs="+",
        choices=WORKLOADS,
        default=["W1", "W2"],
        help="what to measure in each round (W1 W2)",
    )
    add("--runs", type=int, default=3000, help="runs of 3 stages in a round of saturation")
    add("--single-runs", type=int, default=200, help="single runs in a round, of 1 and of 3 stages")
    add("--rounds", type=int, default=3, help="rounds; the median of them counts")
    add("--concurrency", type=int, default=200, help="stages that the worker runs at once")
    add("--sessions", type=int, nargs="+", default=[1, 10, 100, 1000], help="W5: sessions, step by step")
    add("--queued", type=int, default=100_000, help="W4: runs that wait, added in each round")
    add("--finished", type=int, default=1_000_000, help="W4: finished runs, added in each round")
    add("--suspended", type=int, default=10_000, help="W7: suspended stages")
    add("--idle-seconds", type=float, default=30.0, help="W8: how long nothing is done")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    add("--output", type=Path, metavar="FILE", help="write the JSON object to FILE too")
    add(
        "--profile",
        type=Path,
        metavar="FILE",
        help="write samples of the server's stacks to FILE, and sum them up, instead",
    )
    return parser.parse_args(arguments)


@contextlib.asynccontextmanager
async def running(options: argparse.Namespace, console: Console) -> AsyncIterator[Bench]:
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
            limit_dsn = make_limit_database(server.dsn, processes)
            async with Client(server.address) as client:
                await saturate(client, options.runs // 10)  # warms up
                yield Bench(stack, server, worker, limit_dsn, options, console, client)
        finally:
            processes.end()


async def measure(options: argparse.Namespace, console: Console) -> Report:
    """Runs all rounds."""
    values: dict[str, list[float]] = defaultdict(list)
    chosen = [name for name in WORKLOADS if name in options.workloads]
    async with running(options, console) as bench:
        postmaster = bench.server.postmaster.pid
        with usage.Peak(lambda: usage.database_memory_bytes(postmaster)) as database_memory:
            for number in range(1, options.rounds + 1):
                for workload in chosen:
                    console.print(f"round {number} of {options.rounds}: {workload}")
                    for name, value in (await WORKLOADS[workload](bench)).items():
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
        "workloads": " ".join(chosen),
        "payload_bytes": workflows.PAYLOAD_BYTES,
        "runs_per_round": options.runs,
        "rounds": options.rounds,
        "worker_concurrency": options.concurrency,
    }
    return Report(setting, {name: Sample.of(each) for name, each in values.items()})


async def profile(options: argparse.Namespace, console: Console) -> None:
    """Saturates the server once, for its profile."""
    async with running(options, console) as bench:
        load = await saturate(bench.client, options.runs)
        console.print(f"{load.stages_per_second:,.0f} stages/s under the profiler")


def main() -> None:
    """Measures, and prints what was found."""
    options = parse(sys.argv[1:])
    console = Console(stderr=True)
    if options.profile:
        asyncio.run(profile(options, console))
        show_profile(options.profile)
        return
    report = asyncio.run(measure(options, console))
    if options.output:
        options.output.write_text(report.as_json() + "\n")
    if options.json:
        print(report.as_json())
    else:
        report.show(Console())


if __name__ == "__main__":
    main()
