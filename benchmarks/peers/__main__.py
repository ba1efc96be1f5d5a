"""`make bench-peers`: Stageline and others on the same workloads in one run, in turns.

Each peer is started for its turn and ended after it; each is asked by a caller of its own, in a process of its own. How
each is set, and what each keeps on disk, is in ``benchmarks/README.md``.
"""

import argparse
import asyncio
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks import __main__ as ours
from benchmarks import workflows
from benchmarks.bench import MILLISECONDS, Bench
from benchmarks.load import AnyWorkflow, saturate, single_runs
from benchmarks.samples import Sample, percentile

PYTHON = Path(".venv-peers/bin/python")
STAGELINE = "stageline"
RUNS = {STAGELINE: 2000, "restate": 1000, "dbos": 150, "temporal": 60}
"""Runs of 3 stages under saturation: some seconds for each."""

PEERS = tuple(name for name in RUNS if name != STAGELINE)

Found = dict[str, float]


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    add = parser.add_argument
    add("--peers", nargs="+", choices=PEERS, default=PEERS, help="the others to measure (all)")
    add("--rounds", type=int, default=3, help="turns of each; the median counts (3)")
    add("--single-runs", type=int, default=50, help="single runs in a turn, of 1 and of 3 stages (50)")
    add("--fan-outs", type=int, default=10, help="runs of a hundred parallel stages in a turn (10)")
    add("--output", type=Path, metavar="FILE", help="write what was found to FILE as JSON too")
    return parser.parse_args()


async def stageline(bench: Bench, chosen: argparse.Namespace) -> Found:
    """What a peer is asked, asked of Stageline."""

    async def median_ms(workflow: AnyWorkflow, runs: int) -> float:
        seconds = await single_runs(bench.client, workflow, runs, warm_up_runs=1)
        return percentile(seconds, 0.5) * MILLISECONDS

    return {
        "stages_per_second": (await saturate(bench.client, RUNS[STAGELINE])).stages_per_second,
        "single_run_of_1_p50_ms": await median_ms(workflows.ONE_STAGE, chosen.single_runs),
        "single_run_of_3_p50_ms": await median_ms(workflows.THREE_STAGES, chosen.single_runs),
        "fan_out_of_100_p50_ms": await median_ms(workflows.WIDE_100, chosen.fan_outs),
    }


async def peer(name: str, bench: Bench, chosen: argparse.Namespace) -> Found:
    """Has a peer's own process measure it; it prints one JSON object in the end.

    Raises:
        RuntimeError: It failed.
    """
    amounts = {"--runs": RUNS[name], "--single-runs": chosen.single_runs, "--fan-outs": chosen.fan_outs}
    arguments = [str(part) for pair in amounts.items() for part in pair]
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        "-m",
        f"benchmarks.peers.{name}_peer",
        *arguments,
        env=os.environ | {"DATABASE_URL": _fresh_database(bench.server.dsn)},
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{name} ended with exit code {process.returncode}")
    found: Found = json.loads(told.decode().splitlines()[-1])
    return found


def _fresh_database(dsn: str) -> str:
    """Makes an empty database beside Stageline's, in the same durable PostgreSQL."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS peer WITH (FORCE)")
        connection.execute("CREATE DATABASE peer")
    return urlunsplit(urlsplit(dsn)._replace(path="/peer"))


async def measure(chosen: argparse.Namespace, console: Console) -> dict[str, dict[str, Sample]]:
    """Runs all turns."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    async with ours.running(ours.parse(["--runs", str(RUNS[STAGELINE])]), console) as bench:
        for number in range(1, chosen.rounds + 1):
            for name in (STAGELINE, *chosen.peers):
                console.print(f"round {number} of {chosen.rounds}: {name}")
                found = await (stageline(bench, chosen) if name == STAGELINE else peer(name, bench, chosen))
                for quantity, value in found.items():
                    values[name][quantity].append(value)
    return {name: {each: Sample.of(found[each]) for each in found} for name, found in values.items()}


def show(found: dict[str, dict[str, Sample]], console: Console) -> None:
    """Prints the medians, with the least and the greatest, and each peer's over Stageline's."""
    quantities = list(found[STAGELINE])
    table = Table("", *(quantity.replace("_", " ") for quantity in quantities))
    for name, samples in found.items():
        cells = []
        for quantity in quantities:
            one, own = samples[quantity], found[STAGELINE][quantity]
            cells.append(
                f"{one.median:,.1f} ({one.least:,.1f} to {one.greatest:,.1f}); {one.median / own.median:.2f} of ours"
            )
        table.add_row(name, *cells)
    console.print(table)


def main() -> None:
    """Measures, and prints what was found."""
    chosen = parse()
    if not PYTHON.exists():
        sys.exit("the peers are not installed: use `make bench-peers`")
    found = asyncio.run(measure(chosen, Console(stderr=True)))
    if chosen.output:
        plain = {name: {each: vars(sample) for each, sample in of.items()} for name, of in found.items()}
        chosen.output.write_text(json.dumps(plain, indent=2) + "\n")
    show(found, Console(width=180))


if __name__ == "__main__":
    main()
