"""`make chaos`: plays scenarios one after the other, each in an arena of its own, and prints what they counted."""

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.report import machine
from tests.chaos.arena import arena
from tests.chaos.catalogue import SCENARIOS
from tests.chaos.cluster import Cluster
from tests.chaos.scenario import Figures, Scenario

LOG_CHARACTERS_SHOWN = 1500


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"which ones (all): {' '.join(names)}"
    )
    parser.add_argument("--short", action="store_true", help="the sizes of CI: seconds instead of minutes")
    parser.add_argument("--seed", type=int, default=1, help="where chance comes from (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args(arguments)
    if unknown := set(options.scenarios) - set(names):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    return options


def play(
    scenario: Scenario, options: argparse.Namespace, cluster: Cluster, console: Console
) -> Figures | None:
    """Plays one; None where the promise was broken, which is told with the logs."""

    def say(text: str) -> None:
        console.print(f"  {text}", highlight=False)

    console.print(f"{scenario.number}. {scenario.title}", highlight=False)
    began = time.monotonic()
    folder = tempfile.TemporaryDirectory(prefix="stageline-chaos-")
    with folder as name, arena(cluster, Path(name), options.seed, say) as made:
        try:
            figures = scenario.play(made, scenario.short if options.short else scenario.long)
        except Exception:  # noqa: BLE001 - told in full; the other scenarios are played all the same
            console.print(traceback.format_exc(), markup=False, highlight=False)
            for process, text in made.processes.logs():
                console.print(f"--- {process}\n{text[-LOG_CHARACTERS_SHOWN:]}", highlight=False, markup=False)
            return None
    return {**figures, "seconds": round(time.monotonic() - began, 1)}


def show(results: dict[str, Figures | None]) -> None:
    """Prints a row for each scenario."""
    table = Table("scenario", "figures")
    for name, figures in results.items():
        told = "BROKEN" if figures is None else ", ".join(f"{key} {value}" for key, value in figures.items())
        table.add_row(name, told)
    Console().print(table)


def main() -> int:
    """Plays, prints, and says whether every promise was kept."""
    options = parse(sys.argv[1:])
    console = Console(stderr=True)
    chosen = [each for each in SCENARIOS if not options.scenarios or each.name in options.scenarios]
    results: dict[str, Figures | None] = {}
    with tempfile.TemporaryDirectory(prefix="stageline-chaos-") as name:
        cluster = Cluster(Path(name), {"max_connections": "200"})
        cluster.start()
        try:
            for scenario in chosen:
                results[scenario.name] = figures = play(scenario, options, cluster, console)
                console.print(f"  {figures or 'BROKEN'}", highlight=False)
        finally:
            cluster.stop()
    if options.json:
        print(json.dumps({"machine": machine(), "seed": options.seed, "scenarios": results}))
    else:
        show(results)
    return int(None in results.values())


if __name__ == "__main__":
    sys.exit(main())
