"""What keeps a store tidy, and must disturb nobody."""

from datetime import timedelta
from typing import Any

from stageline_engine import commands
from stageline_engine.commands import HistoryPurged
from stageline_engine.testing.simulation import forgetting
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.moves import Move, act
from stageline_engine.testing.simulation.world import send_one

LONGER_THAN_ANY_HISTORY = timedelta(days=36_500)
"""Runs go by an act of their own: what the world knows of them goes with them."""


@act(weight=2)
async def sequence(history: History, choose: Choices) -> Move:
    """Gives committed events their places in the log of all events."""
    limit = choose.one_of((1, 3, 500))
    return history.plain(lambda scene: send_one(scene, commands.SequenceEvents(limit)))


@act(weight=2)
async def purge(history: History, choose: Choices) -> Move:
    """Forgets the log of events at any age; runs, keys and sessions are too young to be forgotten, whatever their state."""
    command = commands.PurgeHistory(
        runs=LONGER_THAN_ANY_HISTORY,
        keys=LONGER_THAN_ANY_HISTORY,
        log=choose.one_of((timedelta(0), timedelta(minutes=1))),
        sessions=LONGER_THAN_ANY_HISTORY,
        limit=choose.one_of((1, 100)),
    )

    async def learn(purged: HistoryPurged) -> None:
        assert (purged.run_ids, purged.keys, purged.sessions) == ((), 0, 0)

    async def recover() -> None:
        await learn(await history.world.same(send))

    async def send(scene: Any) -> HistoryPurged:
        answer: HistoryPurged = await send_one(scene, command)
        return answer

    return Move(send=send, learn=learn, recover=recover, repeatable=True)


@act(weight=1)
async def forget(history: History, choose: Choices) -> None:
    """Forgets ended runs with all that is theirs, their keys, and ended sessions, at any age; never in the middle of others."""
    if history.at_once:
        return
    ages = (timedelta(0), timedelta(seconds=5), timedelta(minutes=1))
    await forgetting.purge(history, choose.one_of(ages), choose.one_of(ages))
    if not history.runs:
        await history.begin_anew()
