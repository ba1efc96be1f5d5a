"""Workers that spend money, and tell of it early, late, twice, or with their report."""

from typing import Any

from stageline_engine import commands
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.moves import Move, act
from stageline_engine.testing.simulation.world import send_one


@act(weight=4)
async def spend(history: History, choose: Choices) -> Move | None:
    """Tells of a call under any lease that there ever was; its id may be on record already."""
    if not history.offers:
        return None
    offer = choose.one_of(history.offers)
    call, lease = history.spending.some_call(choose), offer.lease
    command = commands.RecordAiCall(
        offer.namespace,
        call,
        run_id=lease.run_id,
        stage_number=lease.stage_number,
        lease_token=lease.lease_token,
    )

    async def send(scene: Any) -> Any:
        return await send_one(scene, command)

    async def learn(answer: Any) -> None:
        assert isinstance(answer, commands.AiCallRecorded)
        history.spending.booked(
            offer.namespace, lease.run_id, call, first=not answer.replayed, at_once=history.at_once
        )

    async def recover() -> None:
        await learn(await history.world.same(send))

    return Move(send=send, learn=learn, namespace=offer.namespace, recover=recover, repeatable=True)


@act(weight=3)
async def report_with_calls(history: History, choose: Choices) -> Move | None:
    """Reports on any offer that there ever was, live or not, with what it has spent."""
    if not history.offers:
        return None
    offer = history.offers[-1] if choose.once_in(2) else choose.one_of(history.offers)
    calls = [history.spending.new_call(choose) for _ in range(choose.number(1, 2))]
    return history.report([(offer, choose.outcome())], history.some_demands(choose), calls)
