"""Where the server's time goes: the server under cProfile, which sees the thread of its event loop.

The profiler slows Python code down and leaves C as it is, so the shares are a guide; what counts is the benchmark.
"""

import pstats
import sys
from collections import defaultdict
from pathlib import Path
from typing import cast

LINES_SHOWN = 40
PACKAGES_SHOWN = 30
OUR_ROOTS = ("engine", "server", "cli", "protos")


def profiled(file: Path) -> list[str]:
    """The command that starts `stageline` under the profiler.

    Args:
        file: Where the profile goes when the server ends.
    """
    return [sys.executable, "-m", "cProfile", "-o", str(file.absolute()), "-m", "stageline_cli.main"]


def show_profile(file: Path) -> None:
    """Prints where the time went: by package, by function alone, and by function with all that it calls."""
    statistics = pstats.Stats(str(file))
    print("seconds by package, without what it calls in others")
    by_package = sorted(_seconds_by_package(statistics).items(), key=lambda item: -item[1])
    for package, seconds in by_package[:PACKAGES_SHOWN]:
        print(f"{seconds:9.2f}  {package}")
    statistics.strip_dirs()
    for order in ("tottime", "cumulative"):
        statistics.sort_stats(order).print_stats(LINES_SHOWN)


def _seconds_by_package(statistics: pstats.Stats) -> dict[str, float]:
    seconds: defaultdict[str, float] = defaultdict(float)
    calls = cast(
        "dict[tuple[str, int, str], tuple[int, int, float, float, object]]", vars(statistics)["stats"]
    )
    for (name, _, function), (_, _, own_seconds, _, _) in calls.items():
        seconds[_package(name, function)] += own_seconds
    return seconds


def _package(file_name: str, function: str) -> str:
    """A file's package: for our own code with the folder in it; what is not Python has no file."""
    if file_name == "~":
        return f"built-in {function}"
    parts = Path(file_name).parts
    for root in ("site-packages", *OUR_ROOTS):
        if root in parts:
            inner = parts[parts.index(root) + 1 : -1]
            return "/".join(inner[:2]) if root in OUR_ROOTS else "/".join(inner[:1])
    return "standard library"
