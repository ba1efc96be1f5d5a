"""Workers that submit something elsewhere, and say so early, late, twice, or under a lease that has ended."""

from typing import Any

from stageline_engine import commands
from stageline_engine.model.submission import SubmissionPhase
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.moves import Move, act
from stageline_engine.testing.simulation.world import send_one

PHASES = (*SubmissionPhase, SubmissionPhase.DECLARED, SubmissionPhase.DECLARED, SubmissionPhase.CONFIRMED)


@act(weight=5)
async def submit(history: History, choose: Choices) -> Move | None:
    """Says something of one of few submissions, mostly under one of the last leases."""
    if not history.offers:
        return None
    offer = choose.one_of(history.offers if choose.once_in(3) else history.offers[-3:])
    phase = choose.one_of(PHASES)
    command = commands.RecordSubmission(
        offer.namespace,
        offer.lease.run_id,
        offer.lease.stage_number,
        offer.lease.lease_token,
        choose.one_of(("k1", "k2")),
        phase,
        choose.one_of(("r1", "r2")) if phase is SubmissionPhase.CONFIRMED else "",
    )

    async def send(scene: Any) -> Any:
        return await send_one(scene, command)

    async def learn(answer: Any) -> None:
        if isinstance(answer, commands.SubmissionRecorded):
            history.spending.submitted.told(command, offer.generation)

    async def recover() -> None:
        await learn(await history.world.same(send))

    return Move(send=send, learn=learn, namespace=offer.namespace, recover=recover, repeatable=True)
