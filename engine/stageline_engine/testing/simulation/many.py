"""Many seeds over several processes: each process takes the next seed as soon as it is free."""

import asyncio
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from multiprocessing import get_context

from stageline_engine.testing.simulation.simulate import SimulationFailed, Told, memory_backend, simulate
from stageline_engine.testing.simulation.world import OpenBackend

QUEUED_PER_PROCESS = 2
"""Seeds that wait for each process, so that none is ever idle and a failure stops the others soon."""


@dataclass(frozen=True, slots=True)
class SeedTold:
    """What became of one seed.

    Attributes:
        seed: The seed.
        beside: Whether it was played side by side with another adapter.
        told: What it showed; nothing where it failed.
        failure: For a person: the shortest history that fails and what was found; empty where all is well.
    """

    seed: int
    beside: bool
    told: Told
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """How seeds are played.

    Attributes:
        steps: Of each history.
        beside: ``module:name`` of what opens another adapter's backends, to go through some histories beside the one in
            memory; empty for none.
        beside_every: Of how many seeds one is played so.
    """

    steps: int
    beside: str = ""
    beside_every: int = 1

    def is_beside(self, seed: int) -> bool:
        """Whether this seed is one of them."""
        return bool(self.beside) and seed % self.beside_every == 0


def play_seed(seed: int, plan: Plan) -> SeedTold:
    """Plays one seed to its end."""
    beside = plan.is_beside(seed)
    backends: tuple[OpenBackend, ...] = (memory_backend,)
    if beside:
        backends += (named(plan.beside),)
    try:
        return SeedTold(seed, beside, asyncio.run(simulate(seed, backends, steps=plan.steps)))
    except SimulationFailed as failure:
        found = "".join(traceback.format_exception(failure.__cause__, chain=False))
        return SeedTold(seed, beside, Told(), f"{failure}\n{found}")


def play_seeds(seeds: Iterable[int], plan: Plan, processes: int = 1) -> Iterator[SeedTold]:
    """Plays many seeds and yields what became of each, in the order in which they end."""
    if processes == 1:
        yield from (play_seed(seed, plan) for seed in seeds)
        return
    left = iter(seeds)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running: set[Future[SeedTold]] = set()
        while True:
            free = processes * QUEUED_PER_PROCESS - len(running)
            running |= {pool.submit(play_seed, seed, plan) for seed in islice(left, free)}
            if not running:
                return
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ended)


def named(name: str) -> OpenBackend:
    """Finds what ``module:name`` names.

    Raises:
        ValueError: It is not of that form.
    """
    module, separator, attribute = name.partition(":")
    if not separator:
        raise ValueError(f"{name!r} is not of the form module:name")
    opened: Callable[..., object] = getattr(import_module(module), attribute)
    return opened  # type: ignore[return-value]  # its caller says that it opens backends
