"""A seed's script: what happens in which order, each step with a seed of its own, so that any may be left out."""

from collections.abc import Sequence
from enum import Enum
from random import Random
from typing import NamedTuple

from stageline_engine.testing.simulation.acts import ACTS
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.unreliable import Loss
from stageline_engine.testing.simulation.workflows import NAMESPACES, WORKFLOWS
from stageline_engine.testing.simulation.world import SERVERS

STEPS_DEFAULT = 40
"""Steps of one history: long enough for a run to come to its end and be run again, short enough to be read."""


class Manner(Enum):
    """How a step is done."""

    PLAIN = "plain"
    TWICE = "twice"
    LOST = "lost before commit"
    UNHEARD = "answer lost"
    AT_ONCE = "at once"


WEIGHTS = {Manner.PLAIN: 14, Manner.TWICE: 2, Manner.LOST: 2, Manner.UNHEARD: 3, Manner.AT_ONCE: 3}
TOGETHER_MAX = 5
"""Commands that are on their way at the same time, at most."""


class Step(NamedTuple):
    """One step of a history."""

    manner: Manner
    acts: tuple[str, ...]
    seed: int

    def __str__(self) -> str:
        names = ", ".join(self.acts)
        return names if self.manner is Manner.PLAIN else f"{names} ({self.manner.value})"


def write_script(seed: int, steps: int = STEPS_DEFAULT) -> list[Step]:
    """Returns the steps of a seed; the same ones every time."""
    random = Random(seed)
    return [_write_step(random) for _ in range(steps)]


def _write_step(random: Random) -> Step:
    [manner] = random.choices(list(WEIGHTS), list(WEIGHTS.values()))
    names, weights = list(ACTS), [weight for _, weight in ACTS.values()]
    count = random.randint(2, TOGETHER_MAX) if manner is Manner.AT_ONCE else 1
    return Step(manner, tuple(random.choices(names, weights, k=count)), random.getrandbits(32))


async def begin(history: History) -> None:
    """The first moments: a worker in each namespace, and a run of each workflow."""
    choose = Choices(Random(0))
    for namespace in NAMESPACES:
        await history.open_session(namespace)
    for namespace in NAMESPACES:
        for definition in WORKFLOWS:
            if namespace == NAMESPACES[0] or choose.once_in(2):
                run_id = await history.world.same(
                    lambda scene: scene.create(definition.name),  # noqa: B023
                    namespace,
                )
                history.know(run_id, namespace, definition.name)


async def play(history: History, manner: Manner, names: Sequence[str], random: Random) -> None:
    """Does one step and checks the invariants.

    Args:
        history: What has happened so far.
        manner: How it is done.
        names: The acts; several only at once.
        random: What is chosen.
    """
    choose = Choices(random)
    history.world.server = choose.number(0, SERVERS - 1)
    if manner is Manner.AT_ONCE:
        await _play_at_once(history, names, choose)
    else:
        await _play_one(history, manner, names[0], choose)
    await history.check()


async def _play_one(history: History, manner: Manner, name: str, choose: Choices) -> None:
    chosen, _ = ACTS[name]
    move = await chosen(history, choose)
    world = history.world
    if move is None:
        return
    if manner is Manner.LOST:
        before = await history.rows()
        await world.lost(move.send, move.namespace, Loss.BEFORE_COMMIT, choose.number(0, move.commits - 1))
        assert await history.rows() == before
    elif manner is Manner.UNHEARD and move.recover is not None:
        await world.lost(move.send, move.namespace, Loss.AFTER_COMMIT, choose.number(0, move.commits - 1))
        world.server = choose.number(0, SERVERS - 1)  # whoever asks again may reach another server
        await move.recover()
    else:
        await move.learn(await world.same(move.send, move.namespace))
        if manner is Manner.TWICE and move.repeatable:
            world.server = choose.number(0, SERVERS - 1)
            await move.learn(await world.same(move.send, move.namespace))


async def _play_at_once(history: History, names: Sequence[str], choose: Choices) -> None:
    history.at_once = True
    chosen = [await ACTS[name][0](history, choose) for name in names]
    moves = [move for move in chosen if move is not None]
    turns = [choose.number(0, 4) for _ in range(choose.number(1, 12))]
    answers = await history.world.at_once([(move.send, move.namespace) for move in moves], turns)
    for index, answer in answers:
        await moves[index].learn(answer)
    history.at_once = False
