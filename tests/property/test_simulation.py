"""Hundreds of seeds: every invariant after every step, in memory and beside PostgreSQL; and what they have shown."""

import os
from dataclasses import astuple

import pytest

from stageline_engine import commands
from stageline_engine.kernel import HANDLERS
from stageline_engine.testing.simulation import Told, memory_backend, simulate
from stageline_engine.testing.simulation.acts import ACTS
from stageline_engine.testing.simulation.many import Plan, play_seeds
from stageline_engine.testing.simulation.script import Manner
from tests.property.beside import fresh_backend
from tests.support.postgres import DatabaseServer

SEEDS = 500
SEEDS_BESIDE = 20
NOT_ONE_TRANSACTION = (
    commands.FlushOutbox,
    commands.ExtendLeases,
    commands.ExecuteJob,
    commands.PollSuspended,
)
"""Commands that have no handler, as the kernel carries them out by itself."""
ONLY_LOOKED_AFTER = {"TransitionRun", "ReapStuckRuns", "ReplayDeadLetters"}
"""Repairs and what people do to the outbox are never lost or refused."""


@pytest.fixture(scope="module")
def told() -> Told:
    """What all seeds have shown; the first one that fails ends it."""
    total = Told()
    for played in play_seeds(range(SEEDS), Plan(steps=40), processes=os.cpu_count() or 1):
        assert not played.failure, played.failure
        total += played.told
    return total


# A history that fails is made short before it is shown, which takes a while.
@pytest.mark.timeout(300)
def test_five_hundred_seeds(told: Told) -> None:
    assert told.seeds == SEEDS
    assert told.checks > told.steps / 2


@pytest.mark.timeout(300)
def test_every_command_is_issued_and_carried_out(told: Told) -> None:
    """A new command gets its act in `stageline_engine/testing/simulation/acts`: without one this proves nothing of it."""
    kinds = {kind.__name__ for kind in (*HANDLERS, *NOT_ONE_TRANSACTION)}
    assert {kind: told.commands[kind]["accepted"] >= 20 for kind in kinds} == dict.fromkeys(kinds, True)


@pytest.mark.timeout(300)
def test_every_act_is_done_in_every_manner(told: Told) -> None:
    assert told.acts.keys() == ACTS.keys()
    assert told.manners.keys() == {manner.value for manner in Manner}
    lost = {kind for kind, answers in told.commands.items() if answers["lost"]}
    assert {kind.__name__ for kind in HANDLERS} - lost <= ONLY_LOOKED_AFTER


@pytest.mark.timeout(300)
async def test_memory_and_postgres_give_the_same_answers(postgres_server: DatabaseServer) -> None:
    for seed in range(SEEDS_BESIDE):
        await simulate(seed, (memory_backend, lambda: fresh_backend(postgres_server)))


async def test_a_seed_comes_out_the_same_every_time() -> None:
    first, again = await simulate(7), await simulate(7)
    assert astuple(first) == astuple(again)
