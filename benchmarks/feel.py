"""What a person waits for: a command's help, an import, a second start of the dev server."""

import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.bench import Bench
from tests.support.processes import STAGELINE
from tests.support.stack import Stack

STARTS = 3


async def feel(bench: Bench) -> dict[str, float]:
    """Seconds, the least of a few tries: what is asked is what the program takes, not what the machine does beside."""
    return {
        "help_seconds": _least([STAGELINE, "--help"]),
        "sdk_import_seconds": _least([sys.executable, "-c", "import stageline_sdk"]),
        "second_start_of_dev_seconds": _second_start(bench),
    }


def _least(command: Sequence[str]) -> float:
    return min(_seconds(command) for _ in range(STARTS))


def _seconds(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _second_start(bench: Bench) -> float:
    stack = Stack(bench.stack.processes, bench.stack.folder / "feel")
    stack.folder.mkdir(exist_ok=True)
    stack.dev().process.terminate()
    began = time.perf_counter()
    server = stack.dev()
    seconds = time.perf_counter() - began
    server.process.terminate()
    return seconds
