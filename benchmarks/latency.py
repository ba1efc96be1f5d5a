"""W2 and W3: single runs on an idle system, of few stages in a row and of many side by side."""

from typing import Any

from benchmarks import workflows
from benchmarks.bench import MILLISECONDS, Bench
from benchmarks.load import single_runs
from benchmarks.samples import percentile

FAN_OUT_SHARE = 20
"""A fan-out of a hundred stages is measured once for so many single runs, a wider one in proportion to its width less often."""


async def latency(bench: Bench) -> dict[str, float]:
    """W2: one run at a time, of one and of three stages."""
    found = {}
    for stages, workflow in ((1, workflows.ONE_STAGE), (3, workflows.THREE_STAGES)):
        seconds = await single_runs(bench.client, workflow, bench.options.single_runs)
        found[f"single_run_of_{stages}_p50_ms"] = percentile(seconds, 0.5) * MILLISECONDS
        found[f"single_run_of_{stages}_p99_ms"] = percentile(seconds, 0.99) * MILLISECONDS
    return found


async def fan_out(bench: Bench) -> dict[str, float]:
    """W3: one run at a time, of a hundred and of a thousand parallel stages and one that follows them all."""
    narrow = await _median_ms(bench, workflows.WIDE_100, 100)
    wide = await _median_ms(bench, workflows.WIDE_1000, 1000)
    return {
        "fan_out_of_100_p50_ms": narrow,
        "fan_out_of_1000_p50_ms": wide,
        "time_per_stage_of_1000__of_100": (wide / 1001) / (narrow / 101),
    }


async def _median_ms(bench: Bench, workflow: Any, width: int) -> float:
    runs = max(2, bench.options.single_runs * 100 // (FAN_OUT_SHARE * width))
    seconds = await single_runs(bench.client, workflow, runs, warm_up_runs=1)
    return percentile(seconds, 0.5) * MILLISECONDS
