"""9. Memory of server and worker over very many stages that do nothing."""

from collections import deque
from dataclasses import dataclass

from stageline_sdk import SyncClient
from tests.chaos.arena import Arena, Pace
from tests.chaos.growth import Sample, growth_kib, resident_kib
from tests.chaos.scenario import Figures, Scenario
from tests.chaos.stages import WIDTH

IN_FLIGHT = 4
"""Runs under way at once."""


@dataclass(frozen=True)
class Size:
    """How much.

    Attributes:
        stages: In all.
        warm_up: Stages before the first sample: caches fill, pools grow.
        samples: From there to the end.
        growth_kib_max: The most that a process may grow for each 1,000 stages, in KiB: what a leak of any one message
            for each stage would exceed. Short measurements are rough.
    """

    stages: int
    warm_up: int
    samples: int
    growth_kib_max: float


def play(arena: Arena, size: Size) -> Figures:
    """Runs stages that do nothing, and looks at the memory of server and worker now and then."""
    server = arena.server(Pace(session_seconds=15, heartbeat_seconds=2))
    worker = arena.worker(server.address, "wide_worker", "--concurrency", str(2 * WIDTH))
    client = arena.client(server.address)
    pids = {"server": server.process.pid, "worker": worker.pid}
    samples: dict[str, list[Sample]] = {name: [] for name in pids}
    run_stages(client, size.warm_up)
    step = (size.stages - size.warm_up) // size.samples
    done = size.warm_up
    while done < size.stages:
        run_stages(client, step)
        done += step
        for name, pid in pids.items():
            samples[name].append(Sample(done, resident_kib(pid)))
        arena.say(
            f"{done} stages, "
            + ", ".join(f"{name} {each[-1].resident_kib} KiB" for name, each in samples.items())
        )
    growth = {name: growth_kib(each) for name, each in samples.items()}
    assert max(growth.values()) <= size.growth_kib_max, (growth, samples)
    figures: dict[str, float] = {"stages": done}
    for name, each in samples.items():
        figures[f"{name}_kib_first"] = each[0].resident_kib
        figures[f"{name}_kib_last"] = each[-1].resident_kib
        figures[f"{name}_growth_kib_per_1000_stages"] = round(growth[name], 1)
    return figures


def run_stages(client: SyncClient, stages: int) -> None:
    """Runs so many stages, a few runs at once."""
    waiting: deque[str] = deque()
    for _ in range(stages // WIDTH):
        waiting.append(client.create_run("wide").id)
        if len(waiting) == IN_FLIGHT:
            assert client.wait_for_run(waiting.popleft()).status == "COMPLETED"
    for run_id in waiting:
        assert client.wait_for_run(run_id).status == "COMPLETED"


SCENARIO = Scenario(
    9,
    "memory",
    "stages that do nothing, 200,000 of them",
    play,
    short=Size(stages=2_500, warm_up=500, samples=5, growth_kib_max=1000),
    long=Size(stages=200_000, warm_up=20_000, samples=36, growth_kib_max=40),
)
