"""Runs the cases: several benches side by side, each with a server and a worker of its own."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from stageline_conformance.bench import Bench
from stageline_conformance.cases import ALL_CASES
from stageline_conformance.registry import Case
from stageline_conformance.results import Report, Result, Verdict
from stageline_conformance.violations import ViolationError

CASE_WITHIN = timedelta(seconds=45)
"""How long a case may take; a worker that hangs reaches the suite's patience sooner."""

LANES_DEFAULT = 4
"""Workers side by side: most cases wait more than they compute."""

Progress = Callable[[Result], None]


def select(words: Sequence[str]) -> list[Case]:
    """Return the cases whose name or group contains one of the words, or that cite a rule of that name; all for none."""
    return [
        case
        for case in ALL_CASES
        if not words or any(word in case.name or word in case.group or word in case.rules for word in words)
    ]


def run(
    command: str,
    *,
    cases: Sequence[Case] = ALL_CASES,
    lanes: int = LANES_DEFAULT,
    on_result: Progress = lambda _: None,
) -> Report:
    """Run cases against a worker.

    Args:
        command: Starts the worker, as `docs/conformance-worker.md` describes it. Started several times.
        cases: What to run; all by default.
        lanes: Workers side by side, at least 1. Default 4.
        on_result: Called after each case.

    Returns:
        What came of each, in the order of `cases`.

    Raises:
        WorkerNotStartedError: There is no such program, or the command is malformed.
    """
    return asyncio.run(_run(command, cases, lanes, on_result))


async def _run(command: str, cases: Sequence[Case], lanes: int, on_result: Progress) -> Report:
    began = time.monotonic()
    waiting = deque(cases)
    results: dict[str, Result] = {}
    workers: set[str] = set()

    def keep(result: Result) -> None:
        results[result.name] = result
        on_result(result)

    with TemporaryDirectory(prefix="stageline-conformance-") as folder:
        async with asyncio.TaskGroup() as group:
            for lane in range(min(lanes, len(cases))):
                bench = Bench(command, Path(folder), name=f"lane-{lane}")
                group.create_task(_run_lane(bench, waiting, keep, workers))
    told = ", ".join(sorted(workers)) or "unknown"
    return Report(command, told, [results[case.name] for case in cases], time.monotonic() - began)


async def _run_lane(bench: Bench, waiting: deque[Case], keep: Progress, workers: set[str]) -> None:
    async with bench:
        while waiting:
            keep(await _play(bench, waiting.popleft()))
        workers |= bench.workers_seen


async def _play(bench: Bench, case: Case) -> Result:
    began = time.monotonic()
    verdict: Verdict = "passed"
    message = ""
    try:
        await bench.begin_case(is_fresh=case.is_fresh)
        if case.needs_stage and not await bench.has_stage(case.needs_stage):
            verdict, message = "skipped", f"the worker has no stage {case.needs_stage!r}, which is optional"
        else:
            async with asyncio.timeout(CASE_WITHIN.total_seconds()):
                await case.play(bench)
    except ViolationError as violation:
        verdict, message = "failed", str(violation)
    except TimeoutError:
        verdict, message = "failed", f"the case did not end within {CASE_WITHIN.total_seconds():g} s"
    worker_log = bench.last_words() if verdict == "failed" else ""
    try:
        await bench.end_case(failed=verdict == "failed")
    except ViolationError as violation:
        if verdict == "passed":
            verdict, message = "failed", str(violation)
    seconds = time.monotonic() - began
    return Result(case.name, case.group, case.title, case.rules, verdict, message, seconds, worker_log)
