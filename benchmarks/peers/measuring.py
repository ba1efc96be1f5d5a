"""What is asked of every peer, and how it is told: one JSON object. Knows the standard library alone."""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable

PAYLOAD = {"text": "x" * 189}  # 200 bytes as JSON
WIDE = 100
WARM_UP_RUNS = 20
MILLISECONDS = 1000

Run = Callable[[int], Awaitable[object]]
"""Starts a run of so many stages in a row, or side by side, and returns its output: the payload."""


def options() -> argparse.Namespace:
    """Reads how much is to be done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=300, help="runs of 3 stages under saturation")
    parser.add_argument("--single-runs", type=int, default=30, help="single runs, of 1 and of 3 stages")
    parser.add_argument("--fan-outs", type=int, default=5, help="runs of a hundred parallel stages")
    return parser.parse_args()


async def measure(chosen: argparse.Namespace, line: Run, wide: Run, *, in_flight: int) -> None:
    """Measures a peer that is up, and prints what was found.

    Args:
        chosen: See ``options``.
        line: Starts a run of stages in a row.
        wide: Starts a run of stages side by side, and one that follows them.
        in_flight: Runs under way at once under saturation: as many as the peer does best with.
    """
    await _saturate(line, max(WARM_UP_RUNS, chosen.runs // 10), in_flight)
    found = {
        "stages_per_second": await _saturate(line, chosen.runs, in_flight),
        "single_run_of_1_p50_ms": await _median_ms(line, 1, chosen.single_runs),
        "single_run_of_3_p50_ms": await _median_ms(line, 3, chosen.single_runs),
        "fan_out_of_100_p50_ms": await _median_ms(wide, WIDE, chosen.fan_outs),
    }
    print(json.dumps(found))


async def _saturate(line: Run, runs: int, in_flight: int) -> float:
    left = iter(range(runs))

    async def work() -> None:
        for _ in left:
            _check(await line(3))

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return runs * 3 / (time.perf_counter() - began)


async def _median_ms(run: Run, stages: int, runs: int) -> float:
    _check(await run(stages))
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        _check(await run(stages))
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * MILLISECONDS


def _check(output: object) -> None:
    if output != PAYLOAD:
        raise RuntimeError(f"a run came to {output!r}")
