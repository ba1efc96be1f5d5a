"""Several servers on one state: whatever happens at one is known at the other."""

import asyncio
from uuid import UUID

import grpc

from stageline.v1 import report_pb2, session_pb2
from stageline_engine.commands import LeaseDemand, LeaseJobs
from stageline_engine.model.run import RunState
from stageline_engine.testing.definitions import workflow
from tests.support.plane import BRISK, Deployment, PlaneServer, with_recheck
from tests.support.raw_worker import credits_item


async def test_a_job_made_ready_at_one_is_offered_by_the_other(
    deployment: Deployment, server: PlaneServer
) -> None:
    other = await deployment.serve()
    worker = await other.connect("one", slots=1)
    await worker.ping_pong()
    run_id = await server.create("one")
    offer = await worker.offer()
    assert offer.run_id == str(run_id)
    with server.plane.hub.watch(run_id) as watch:
        await worker.report(offer)
        await asyncio.wait_for(watch.changed(), 20)
    await server.until_run(run_id, RunState.COMPLETED)


async def test_a_cancellation_at_one_stops_a_worker_of_the_other(
    deployment: Deployment, server: PlaneServer
) -> None:
    other = await deployment.serve()
    worker = await other.connect("one", slots=1)
    run_id = await server.create("one")
    offer = await worker.offer()
    await server.cancel(run_id)
    directive = (await worker.next("directive")).directive
    assert directive.lease_token == offer.lease_token


async def test_a_session_goes_on_at_the_other(deployment: Deployment, server: PlaneServer) -> None:
    other = await deployment.serve()
    worker = await server.connect("one", slots=2)
    for _ in range(2):
        await server.create("one")
    kept, lost = await worker.offers(2)
    held = [session_pb2.HeldLease(lease_token=kept.lease_token)]
    moved = await other.connect("one", slots=2, free=1, resume_session_id=worker.session_id, held_leases=held)
    assert moved.welcome.resumed
    assert moved.welcome.server_id != worker.welcome.server_id
    fresh = await moved.offer()
    assert (fresh.run_id, fresh.delivery) == (lost.run_id, 1)
    await moved.report(kept, credits_item(0))
    assert (await moved.acknowledgement()).disposition == report_pb2.REPORT_DISPOSITION_RECORDED
    await server.plane.housekeeping._renew()
    ending = await worker.ended()
    assert (ending.code, ending.reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
    await moved.report(fresh)
    await other.until_run(UUID(fresh.run_id), RunState.COMPLETED)


async def test_what_the_old_server_leased_in_vain_is_found(
    deployment: Deployment, server: PlaneServer
) -> None:
    """The session has moved; the server that it left had not noticed, and leased a job to it."""
    other = await deployment.serve(with_recheck())
    worker = await server.connect("one", slots=1, free=0)
    moved = await other.connect("one", slots=1, free=0, resume_session_id=worker.session_id)
    run_id = await server.create("one")
    stored = await server.ports.registry.get("default", "one")
    assert stored is not None
    demand = LeaseDemand(UUID(worker.session_id), stored.route_ids, 1)
    leased = await server.plane.kernel.dispatch_many([LeaseJobs((demand,))])
    assert len(leased.effects.offers) == 1
    await moved.send(credits_item(1))
    offer = await moved.offer()
    assert (offer.run_id, offer.attempt, offer.delivery) == (str(run_id), 1, 1)


async def test_the_lease_of_a_dead_server_is_taken_over(deployment: Deployment) -> None:
    dying, heir = await deployment.serve(BRISK), await deployment.serve(BRISK)
    await heir.register(workflow("one", "only"))
    worker = await dying.connect("one", slots=1)
    run_id = await dying.create("one")
    await worker.offer()
    await dying.stop()
    next_worker = await heir.connect("one", slots=1)
    reading = asyncio.create_task(next_worker.offer())
    while not reading.done():
        await next_worker.send()
        await asyncio.wait({reading}, timeout=BRISK.heartbeat_interval.total_seconds())
    assert (reading.result().run_id, reading.result().delivery) == (str(run_id), 2)
