"""What leases without a stream promise: they are given once, extended by whoever has one, and handed on when nobody does."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from stageline_engine.commands import (
    ExtendLeases,
    JobOffer,
    LeaseDemand,
    LeasedOnce,
    LeaseName,
    LeaseOnce,
)
from stageline_engine.kernel import Dispatched, Kernel
from stageline_engine.limits import LEASE_DURATION
from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.model.session import NO_SERVER, SessionRow
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.definitions import workflow
from stageline_engine.testing.scene import SERVER, Scene, completed


async def open_once(scene: Scene) -> UUID:
    """Opens a session without a stream."""
    now, session_id = scene.clock.now(), scene.ids.new_id()
    row = SessionRow(session_id, scene.namespace, "cron", NO_SERVER, 10, "test/1", now, now + LEASE_DURATION)
    await scene.backend.sessions.open(row)
    return session_id


async def lease_once(
    scene: Scene, registered: RegisteredWorkflow, *, slots: int = 10, **fields: Any
) -> Dispatched[LeasedOnce]:
    """Leases to a session of its own."""
    demand = LeaseDemand(await open_once(scene), registered.route_ids, slots)
    return await scene.kernel.dispatch_many([LeaseOnce(scene.namespace, demand, **fields)])


async def extend(scene: Scene, *offers: JobOffer, namespace: str = "default") -> frozenset[UUID]:
    """Extends leases; returns which were."""
    backend = scene.backend
    kernel = Kernel(backend.persistence, backend.registry, scene.clock, scene.ids, sessions=backend.sessions)
    names = [LeaseName(one.lease.run_id, one.lease.stage_number, one.lease.lease_token) for one in offers]
    return (await kernel.dispatch(ExtendLeases(namespace, tuple(names)))).lease_tokens


class LeaseConformance(Conformance):
    """Leases without a stream."""

    async def test_no_more_jobs_are_leased_than_asked_for(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", ["a", "b", "c"]))
            await scene.create("w")
            first = await lease_once(scene, registered, slots=2)
            assert [offer.stage_id for offer in first.effects.offers] == ["a", "b"]
            second = await lease_once(scene, registered, slots=2)
            assert [offer.stage_id for offer in second.effects.offers] == ["c"]

    async def test_the_job_of_a_given_run_or_stage_is_leased_whatever_is_more_urgent(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", ["a", "b"]))
            await scene.create("w", priority=100)
            run_id = await scene.create("w")
            one = await lease_once(scene, registered, run_id=run_id, stage_id="b")
            assert [(offer.lease.run_id, offer.stage_id) for offer in one.effects.offers] == [(run_id, "b")]
            rest = await lease_once(scene, registered, run_id=run_id)
            assert [(offer.lease.run_id, offer.stage_id) for offer in rest.effects.offers] == [(run_id, "a")]
            none = await lease_once(scene, registered, run_id=run_id)
            assert none.effects.offers == ()

    async def test_an_unknown_run_or_stage_is_refused(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", "a"))
            run_id = await scene.create("w")
            for fields, reason in (
                ({"run_id": scene.ids.new_id()}, Reason.RUN_NOT_FOUND),
                ({"run_id": run_id, "stage_id": "z"}, Reason.STAGE_NOT_FOUND),
            ):
                (refused,) = (await lease_once(scene, registered, **fields)).results
                assert isinstance(refused, Rejection)
                assert refused.reason is reason

    async def test_another_namespaces_run_does_not_exist(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", "a"))
            run_id = await scene.create("w")
            demand = LeaseDemand(await open_once(scene), registered.route_ids, 1)
            refused = await scene.kernel.dispatch(LeaseOnce("another", demand, run_id))
            assert isinstance(refused, Rejection)
            assert refused.reason is Reason.RUN_NOT_FOUND

    async def test_a_repeat_gives_the_same_leases_as_far_as_they_are_held(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", ["a", "b", "c"]))
            await scene.create("w")
            first = await lease_once(scene, registered, slots=2, idempotency_key="k")
            again = await lease_once(scene, registered, slots=2, idempotency_key="k")
            assert first.effects.offers == again.effects.offers
            assert isinstance(first.results[0], LeasedOnce)
            assert again.results[0] == LeasedOnce(first.results[0].session_id, 2, replayed=True)
            await scene.report(first.effects.offers[0], completed(1))
            rest = await lease_once(scene, registered, slots=2, idempotency_key="k")
            assert rest.effects.offers == first.effects.offers[1:]

    async def test_a_key_with_another_request_is_refused(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", ["a", "b", "c"]))
            await scene.create("w")
            await lease_once(scene, registered, slots=2, idempotency_key="k")
            (refused,) = (await lease_once(scene, registered, slots=1, idempotency_key="k")).results
            assert isinstance(refused, Rejection)
            assert refused.reason is Reason.REQUEST_ID_REUSED

    async def test_a_call_that_leased_nothing_is_not_remembered(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", "a"))
            assert (await lease_once(scene, registered, idempotency_key="k")).effects.offers == ()
            await scene.create("w")
            assert len((await lease_once(scene, registered, idempotency_key="k")).effects.offers) == 1

    async def test_one_extension_keeps_all_leases_of_a_call(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", ["a", "b"]))
            await scene.create("w")
            one, other = (await lease_once(scene, registered)).effects.offers
            scene.clock.advance(LEASE_DURATION / 2)
            assert await extend(scene, one) == {one.lease.lease_token}
            scene.clock.advance(LEASE_DURATION / 2)
            assert (await scene.reap()).requeued == 0
            assert await extend(scene, other, one) == {one.lease.lease_token, other.lease.lease_token}

    async def test_leases_that_nobody_extends_are_handed_on(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", "a"))
            await scene.create("w")
            (lost,) = (await lease_once(scene, registered)).effects.offers
            scene.clock.advance(LEASE_DURATION - timedelta(microseconds=1))
            assert (await scene.reap()).requeued == 0
            scene.clock.advance(timedelta(microseconds=1))
            assert (await scene.reap()).requeued == 1
            assert await extend(scene, lost) == frozenset()
            (found,) = (await lease_once(scene, registered)).effects.offers
            assert (found.attempt, found.delivery) == (1, 2)
            assert await extend(scene, lost, found) == {found.lease.lease_token}

    async def test_what_is_reported_or_of_a_stream_is_not_extended(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", ["a", "b"]))
            await scene.create("w")
            (reported,) = (await lease_once(scene, registered, slots=1)).effects.offers
            recorded = await scene.report(reported, completed(1))
            assert recorded.session_id == reported.lease.session_id
            (streamed,) = await scene.lease(await scene.open_session(), registered)
            assert await extend(scene, reported, streamed) == frozenset()
            (session,) = await scene.backend.sessions.list("default", limit=1)
            assert session.server_id == SERVER

    async def test_a_server_extends_the_sessions_that_are_its_own(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", "a"))
            await scene.create("w")
            (offer,) = await scene.lease(await scene.open_session(), registered)
            name = LeaseName(offer.lease.run_id, offer.lease.stage_number, offer.lease.lease_token)
            later, sessions = scene.clock.now() + LEASE_DURATION, scene.backend.sessions
            assert await sessions.extend("default", [name], "server-2", later) == frozenset()
            assert await sessions.extend("default", [name], SERVER, later) == {name.lease_token}

    async def test_another_namespaces_lease_is_not_extended(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", "a"))
            await scene.create("w")
            (offer,) = (await lease_once(scene, registered)).effects.offers
            assert await extend(scene, offer, namespace="another") == frozenset()
            assert await extend(scene) == frozenset()

    async def test_a_session_without_a_stream_ends_with_its_last_job(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", ["a", "b"]))
            await scene.create("w")
            offers = (await lease_once(scene, registered)).effects.offers
            for offer, ends in zip(offers, (False, True), strict=True):
                await scene.report(offer, completed(1))
                now, session_id = scene.clock.now(), offer.lease.session_id
                assert await scene.backend.sessions.end(session_id, NO_SERVER, now, "DRAINED") is ends
