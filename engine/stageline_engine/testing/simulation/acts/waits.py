"""What the outside does with stages that wait for it."""

import hashlib
from datetime import timedelta
from typing import Any

from stageline_engine import commands
from stageline_engine.commands import Completed, SuspendCondition, Suspended
from stageline_engine.rejections import Rejection
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.moves import Move, act
from stageline_engine.testing.simulation.world import send_one


@act(weight=4)
async def suspend_what_can_be(history: History, choose: Choices) -> Move | None:
    """Leases to a session, and suspends every stage that was given and may be, half of them with a token."""
    session_id = choose.one_of(history.sessions[-2:])
    offers = await history.lease_now(session_id, choose.number(2, 6))
    reports = []
    for offer in offers:
        if offer.stage_id in ("batch", "last"):
            token = str(offer.lease.lease_token).encode()
            condition = SuspendCondition(hashlib.sha256(token).digest(), "a word")
            with_token = not choose.once_in(3)
            outcome = Suspended(
                wait_max=timedelta(minutes=5),
                never_poll=choose.once_in(2),
                conditions=(condition,) if with_token else (),
            )
            if with_token:
                history.tokens.append((offer, token))
            reports.append((offer, outcome))
    return history.report(reports, ()) if reports else None


@act(weight=5)
async def resume(history: History, choose: Choices) -> Move | None:
    """Uses any token that there ever was: at most one outcome is taken, and that one any number of times."""
    if not history.tokens:
        return None
    offer, token = choose.one_of(history.tokens[-4:])
    run_id, outcome = offer.lease.run_id, choose.wait_outcome()
    key = history.new_key("resume") if choose.once_in(2) else ""
    command = commands.ResumeStage(offer.namespace, run_id, offer.stage_id, token, outcome, key)

    async def send(scene: Any) -> Any:
        return await send_one(scene, command)

    async def learn(answer: Any) -> None:
        used = history.used_tokens.get(token)
        if isinstance(answer, Rejection):
            assert used is None or used != outcome
            return
        if answer.replayed:
            assert used == outcome or (key and isinstance(outcome, commands.CheckNow))
            return
        assert used is None
        take_in()

    def take_in() -> None:
        history.ledger.acted()
        if not isinstance(outcome, commands.CheckNow):
            history.used_tokens[token] = outcome
        if isinstance(outcome, Completed):
            history.ledger.resumed(run_id, offer.lease.stage_number, outcome.output)

    async def recover() -> None:
        answer = await history.world.same(send)
        if not isinstance(answer, Rejection) and answer.replayed and token not in history.used_tokens:
            take_in()  # the lost call had done it
        await learn(answer)

    return Move(send=send, learn=learn, namespace=offer.namespace, recover=recover, repeatable=True)
