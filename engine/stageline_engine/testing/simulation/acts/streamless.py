"""What workers without a stream do: cron jobs and functions, which lease by one call and report by another."""

from collections.abc import Sequence
from typing import Any

from stageline_engine.commands import ExtendLeases, JobOffer, LeaseDemand, LeaseName, LeaseOnce
from stageline_engine.rejections import Rejection
from stageline_engine.testing.scene import Scene
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.moves import Move, act
from stageline_engine.testing.simulation.workflows import NAMESPACES


@act(weight=4)
async def lease_once(history: History, choose: Choices) -> Move:
    """Leases by one call jobs of any run, or those of one; under a key the same call gives the same leases."""
    run_id = choose.one_of(list(history.runs)) if choose.once_in(2) else None
    namespace = history.runs[run_id].namespace if run_id else choose.one_of(NAMESPACES)
    session_id = await history.open_streamless_session(namespace)
    routes = sorted(
        route_id for workflow in history.world.workflows_of(namespace) for route_id in workflow.route_ids
    )
    demand = LeaseDemand(session_id, tuple(routes), choose.number(1, 4))
    key = history.new_key("lease") if choose.once_in(2) else ""
    command = LeaseOnce(namespace, demand, run_id, idempotency_key=key)

    async def send(scene: Scene) -> Any:
        dispatched = await scene.kernel.dispatch_many([command])
        return dispatched.results[0], dispatched.effects.offers

    async def learn(answer: Any) -> None:
        leased, offers = answer
        assert not isinstance(leased, Rejection)
        assert leased.leased == len(offers) <= demand.slots
        assert run_id is None or {offer.lease.run_id for offer in offers} <= {run_id}
        told = {offer.lease.lease_token for offer in history.offers}
        fresh = [offer for offer in offers if offer.lease.lease_token not in told]
        assert leased.replayed or len(fresh) == len(offers)
        history.take(fresh)

    async def recover() -> None:
        if key:
            await learn(await history.world.same(send, namespace))
        else:
            await history.give_back_lost_offers([session_id])

    return Move(send=send, learn=learn, namespace=namespace, recover=recover, repeatable=bool(key))


@act()
async def extend(history: History, choose: Choices) -> None:
    """Extends leases, some of which do not count any more or belong to a session with a stream."""
    if not history.offers:
        return
    offers: Sequence[JobOffer] = choose.some_of(history.offers[-9:], 3)
    namespace = choose.one_of(offers).namespace
    names = tuple(
        LeaseName(offer.lease.run_id, offer.lease.stage_number, offer.lease.lease_token) for offer in offers
    )

    async def send(scene: Scene) -> frozenset[Any]:
        return (await scene.kernel.dispatch(ExtendLeases(namespace, names))).lease_tokens

    extended = await history.world.same(send, namespace)
    own = {offer.lease.lease_token for offer in offers if offer.namespace == namespace}
    assert extended <= own  # I10
