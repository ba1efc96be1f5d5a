"""Plays seeds: each is a history that comes out the same every time, and that is made short when it fails."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from stageline_engine.testing.backend import Backend, in_memory
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.script import STEPS_DEFAULT, Step, begin, play, write_script
from stageline_engine.testing.simulation.world import OpenBackend, open_world

SHRINKS_MAX = 300
"""Shorter histories that are tried before the shortest failing one is shown."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one or several histories have shown.

    Attributes:
        seeds: How many histories.
        steps: Their steps.
        checks: How often a run was checked against the invariants.
        manners: How the steps were done.
        acts: How often each act was done.
        commands: Of each kind of command, how often it was accepted, refused, and lost.
    """

    seeds: int = 0
    steps: int = 0
    checks: int = 0
    manners: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    commands: Mapping[str, Counter[str]] = field(default_factory=dict)

    def __add__(self, other: "Told") -> "Told":
        kinds = self.commands.keys() | other.commands.keys()
        nothing: Counter[str] = Counter()
        return Told(
            self.seeds + other.seeds,
            self.steps + other.steps,
            self.checks + other.checks,
            self.manners + other.manners,
            self.acts + other.acts,
            {
                kind: self.commands.get(kind, nothing) + other.commands.get(kind, nothing)
                for kind in sorted(kinds)
            },
        )


class SimulationFailed(Exception):  # noqa: N818  # the name says what has happened
    """A history broke an invariant.

    Attributes:
        seed: The seed of the history.
        script: The shortest history that was found to fail.
    """

    def __init__(self, seed: int, script: Sequence[Step]) -> None:
        """Takes what failed; the cause is the exception of the shortest history."""
        super().__init__(seed, script)
        self.seed = seed
        self.script = script

    def __str__(self) -> str:
        steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(self.script, start=1))
        return f"seed {self.seed} fails after {len(self.script)} step(s):\n{steps}"


@asynccontextmanager
async def memory_backend() -> AsyncIterator[Backend]:
    """Opens an empty backend in memory."""
    yield in_memory()


async def simulate(
    seed: int, backends: Sequence[OpenBackend] = (memory_backend,), *, steps: int = STEPS_DEFAULT
) -> Told:
    """Plays the history of a seed.

    Args:
        seed: Any number; the same one gives the same history.
        backends: Where: each opens an empty backend. Several must give the same answers.
        steps: How long the history is; every run is brought to its end after it.

    Raises:
        SimulationFailed: An invariant broke. Its cause is what was found at the end of the shortest failing history.
    """
    script = write_script(seed, steps)
    try:
        return await play_script(script, backends)
    except Exception as found:  # noqa: BLE001  # whatever it is, it has not to happen
        shortest, error = await shrink(script, backends, found)
        raise SimulationFailed(seed, shortest) from error


async def play_script(script: Sequence[Step], backends: Sequence[OpenBackend]) -> Told:
    """Plays a history to its end, checking the invariants after each step."""
    async with AsyncExitStack() as stack:
        world = await open_world(backends, stack)
        history = History(world)
        await begin(history)
        for step in script:
            await play(history, step.manner, step.acts, Random(step.seed))
        await history.finish()
        return Told(
            1,
            len(script),
            history.checks,
            Counter(step.manner.value for step in script),
            Counter(name for step in script for name in step.acts),
            world.issued,
        )


async def shrink(
    script: Sequence[Step], backends: Sequence[OpenBackend], found: Exception
) -> tuple[Sequence[Step], Exception]:
    """Leaves out as many steps as can be, as long as the history still fails in the same way.

    Returns:
        The shortest history, and what was found at its end.
    """
    tries, size = SHRINKS_MAX, len(script) // 2
    while size and tries:
        start = 0
        while start < len(script) and tries:
            shorter = [*script[:start], *script[start + size :]]
            tries -= 1
            failure = await _failure(shorter, backends)
            if type(failure) is type(found) and failure is not None:
                script, found = shorter, failure
            else:
                start += size
        size //= 2
    return script, found


async def _failure(script: Sequence[Step], backends: Sequence[OpenBackend]) -> Exception | None:
    try:
        await play_script(script, backends)
    except Exception as failure:  # noqa: BLE001  # the one that is looked for, or another
        return failure
    return None
