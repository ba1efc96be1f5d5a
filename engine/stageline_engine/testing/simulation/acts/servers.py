"""What servers do by themselves."""

from typing import Any
from uuid import UUID

from stageline_engine import commands
from stageline_engine.commands import FlushOutbox
from stageline_engine.limits import EMIT_BACKOFF_MAX, EMIT_TRIES_MAX, PAGE_SIZE_MAX
from stageline_engine.testing.scene import Scene
from stageline_engine.testing.simulation.choices import STEPS, Choices
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.moves import Move, act
from stageline_engine.testing.simulation.workflows import NAMESPACES
from stageline_engine.testing.simulation.world import send_one


@act(weight=3)
async def reap(history: History, choose: Choices) -> Move:
    """Hands on the jobs of silent sessions."""
    limit = choose.one_of((1, 100))
    return history.plain(lambda scene: send_one(scene, commands.ReapStaleLeases(limit)))


@act(weight=4)
async def promote(history: History, choose: Choices) -> Move:
    """Makes jobs ready whose time has come."""
    limit = choose.one_of((1, 500))
    return history.plain(lambda scene: send_one(scene, commands.PromoteJobs(limit)))


@act(weight=3)
async def expire(history: History, choose: Choices) -> Move:
    """Acts on what ran out of time."""
    return history.expire()


@act(weight=2)
async def claim_pending(history: History, choose: Choices) -> Move:
    """Starts runs that waited."""
    limit = choose.number(1, 3)

    async def learn(answer: Any) -> None:
        assert len(answer.run_ids) <= limit

    async def recover() -> None:
        await learn(await history.world.same(send))

    async def send(scene: Any) -> Any:
        return await send_one(scene, commands.ClaimPendingRuns(limit))

    return Move(send=send, learn=learn, recover=recover, repeatable=True)


@act(weight=3)
async def pass_time(history: History, choose: Choices) -> None:
    """Time jumps."""
    history.world.advance(choose.one_of(STEPS))


@act(weight=1)
async def repair(history: History, choose: Choices) -> Move:
    """Looks after a run that needs no repair: every transaction leaves each run whole."""
    run_id = choose.one_of(list(history.runs))

    async def learn(answer: Any) -> None:
        assert answer == commands.RunTransition("noop")

    async def send(scene: Any) -> Any:
        return await send_one(scene, commands.TransitionRun(run_id))

    return Move(send=send, learn=learn, namespace=history.runs[run_id].namespace, repeatable=True)


@act(weight=3)
async def flush(history: History, choose: Choices) -> Move:
    """Publishes what is due, to a sink that may refuse one type."""
    refused = choose.one_of(("", "", "workflow:started", "stage:completed"))
    history.refuse(refused)
    command = FlushOutbox(choose.number(1, 9))
    return history.plain(lambda scene: scene.kernel.dispatch(command), commits=3)


@act(weight=1)
async def bury_and_replay(history: History, choose: Choices) -> None:
    """A sink that is away until streams are dead-lettered; then they are taken up again, or pass over what is refused."""
    history.refuse("workflow:created")
    for _ in range(EMIT_TRIES_MAX + 1):
        history.world.advance(EMIT_BACKOFF_MAX)
        flushed = await history.world.same(lambda scene: scene.kernel.dispatch(FlushOutbox(50)))
        if flushed.dead:
            break
    history.refuse("")
    skip = choose.once_in(2)
    letters = await _dead_letters(history)
    command = commands.ReplayDeadLetters(skip=skip, limit=choose.one_of((1, 100)))
    replayed = await history.world.same(lambda scene: send_one(scene, command))
    revived = {run_id: sequence for run_id, _, sequence in replayed.letters}
    assert revived.items() <= letters.items()
    assert len(revived) == min(command.limit, len(letters))
    if skip:
        history.skipped.update(revived.items())


async def _dead_letters(history: History) -> dict[UUID, int]:
    """The event at which each stream stands that is dead-lettered."""

    async def read(scene: Scene) -> Any:
        queries = scene.backend.queries
        return [
            list(await queries.list_dead_letters(namespace, limit=PAGE_SIZE_MAX)) for namespace in NAMESPACES
        ]

    pages = await history.world.same(read)
    return {letter.event.run_id: letter.event.sequence for page in pages for letter in page}
