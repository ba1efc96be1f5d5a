"""SPEC 11.3: who gets which job, and when."""

from datetime import timedelta

import pytest

from stageline_engine.commands import CreateRun, LeaseDemand, LeasedJobs, LeaseJobs
from stageline_engine.limits import OFFER_OUTPUTS_BYTES_MAX, PAYLOAD_INLINE_BYTES_MAX
from stageline_engine.model.job import JobKind
from stageline_engine.model.stage import StageState
from stageline_engine.testing import Scene, stage, workflow
from stageline_engine.testing.scene import completed, failed


async def test_11_3_25_every_job_is_leased_once_by_many_sessions(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    run_ids = [await scene.create("flow") for _ in range(20)]
    demands = [scene.demand(await scene.open_session(), registered, slots=7) for _ in range(4)]
    dispatched = await scene.kernel.dispatch_many([LeaseJobs(tuple(demands))])
    leased = [offer.lease.run_id for offer in dispatched.effects.offers]
    assert sorted(leased) == run_ids
    assert dispatched.results == [LeasedJobs(20, contended=False)]


async def test_11_3_26_a_session_never_gets_more_than_its_slots(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    for _ in range(5):
        await scene.create("flow")
    session_id = await scene.open_session()
    assert len(await scene.lease(session_id, registered, slots=2)) == 2
    assert len(await scene.lease(session_id, registered, slots=0)) == 0
    assert len(await scene.lease(session_id, registered, slots=9)) == 3


async def test_11_3_29_a_first_group_of_three_is_leasable_at_once(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", ["a", "b", "c"]))
    await scene.create("flow")
    offers = await scene.lease(await scene.open_session(), registered)
    assert [offer.stage_id for offer in offers] == ["a", "b", "c"]


async def test_11_3_32_higher_priority_first_and_first_come_within_one(scene: Scene) -> None:
    first, second = [await scene.register(workflow(name, "a")) for name in ("first", "second")]
    expected = {}
    for priority in (5, 100, 0):
        expected[priority] = [await scene.create(name, priority=priority) for name in ("second", "first")]
    session_id = await scene.open_session()
    leased = []
    for _ in range(6):
        [offer] = await scene.lease(session_id, first, second, slots=1)
        leased.append(offer.lease.run_id)
    assert leased == [*expected[100], *expected[5], *expected[0]]


async def test_11_3_34_nothing_eligible_is_nothing(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    session_id = await scene.open_session()
    assert await scene.lease(session_id, registered) == ()
    assert (await scene.kernel.dispatch_many([LeaseJobs(())])).results == [LeasedJobs(0, contended=False)]
    await scene.create("flow")
    assert len(await scene.lease(session_id, registered)) == 1


async def test_11_3_35_a_new_runs_jobs_are_handed_over_in_its_own_transaction(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", ["a", "b"]))
    demand = scene.demand(await scene.open_session(), registered, slots=1)
    dispatched = await scene.kernel.dispatch_many([CreateRun("default", "flow", b"{}")], [demand])
    [offer] = dispatched.effects.offers
    assert (offer.stage_id, offer.lease.session_id) == ("a", demand.session_id)
    assert dispatched.effects.ready_routes == {registered.route_ids[1]}
    [creation] = dispatched.results
    assert dispatched.effects.touched_runs == {offer.lease.run_id}
    assert dispatched.effects.wake_at is None
    assert await scene.event_types(offer.lease.run_id) == [
        "workflow:created",
        "workflow:started",
        "stage:started",
    ]
    assert creation is not None


async def test_eager_hand_over_never_overtakes_what_waits(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    waiting = await scene.create("flow", priority=9)
    session_id = await scene.open_session()
    demand = scene.demand(session_id, registered, slots=5)
    dispatched = await scene.kernel.dispatch_many([CreateRun("default", "flow", b"{}")], [demand])
    assert dispatched.effects.offers == ()
    urgent = await scene.kernel.dispatch_many([CreateRun("default", "flow", b"{}", priority=50)], [demand])
    [offer] = urgent.effects.offers
    assert offer.priority == 50
    [next_one] = await scene.lease(session_id, registered, slots=1)
    assert next_one.lease.run_id == waiting


async def test_11_8_100_each_session_gets_only_its_own_stages_and_an_unroutable_one_waits(
    scene: Scene,
) -> None:
    first, second = [await scene.register(workflow(name, "a")) for name in ("first", "second")]
    lonely = await scene.create("second")
    await scene.create("first")
    session_id = await scene.open_session()
    assert [offer.workflow_name for offer in await scene.lease(session_id, first)] == ["first"]
    assert (await scene.details(lonely)).stages[0].stage.state is StageState.PENDING
    assert [offer.workflow_name for offer in await scene.lease(session_id, second)] == ["second"]


async def test_sessions_with_overlapping_routes_share_what_there_is(scene: Scene) -> None:
    first, second = [await scene.register(workflow(name, "a")) for name in ("first", "second")]
    for name in ("first", "second"):
        for _ in range(3):
            await scene.create(name)
    both = scene.demand(await scene.open_session(), first, second, slots=2)
    only = scene.demand(await scene.open_session(), second, slots=9)
    dispatched = await scene.kernel.dispatch_many([LeaseJobs((both, only))])
    taken = [(offer.lease.session_id, offer.workflow_name) for offer in dispatched.effects.offers]
    assert len({offer.lease.run_id for offer in dispatched.effects.offers}) == len(taken) == 5
    assert [session_id for session_id, _ in taken].count(both.session_id) == 2
    assert {name for session_id, name in taken if session_id == only.session_id} == {"second"}


async def test_a_session_is_not_left_empty_since_another_took_the_most_urgent_job(scene: Scene) -> None:
    first, second = [await scene.register(workflow(name, "a")) for name in ("first", "second")]
    run_ids = {await scene.create("second") for _ in range(2)}
    both = scene.demand(await scene.open_session(), first, second, slots=1)
    only = scene.demand(await scene.open_session(), second, slots=1)
    dispatched = await scene.kernel.dispatch_many([LeaseJobs((both, only))])
    offers = dispatched.effects.offers
    assert {offer.lease.run_id for offer in offers} == run_ids
    assert {offer.lease.session_id for offer in offers} == {both.session_id, only.session_id}


async def test_an_offer_says_all_that_a_worker_needs(scene: Scene) -> None:
    timeouts = stage("b").timeouts.__class__(start_to_close=timedelta(minutes=5))
    definition = workflow("flow", "a", stage("b", timeouts=timeouts, default_config='{"n":1}'), "c")
    registered = await scene.register(definition)
    run_id = await scene.create("flow", b'{"url": "x"}', priority=8)
    session_id = await scene.open_session()
    [first] = await scene.lease(session_id, registered)
    assert (first.run_input, first.config, first.input_stage_ids) == ('{"url": "x"}', "{}", ())
    await scene.report(first, completed({"words": 3}))
    [offer] = await scene.lease(session_id, registered)
    assert (offer.lease.run_id, offer.lease.stage_number, offer.lease.session_id) == (run_id, 2, session_id)
    assert (offer.namespace, offer.workflow_name, offer.workflow_version) == ("default", "flow", 1)
    assert (offer.kind, offer.attempt, offer.delivery, offer.priority) == (JobKind.EXECUTE, 1, 1, 8)
    assert (offer.start_to_close, offer.config, offer.run_input) == (timedelta(minutes=5), '{"n":1}', None)
    assert (offer.input_stage_ids, offer.outputs) == (("a",), {"a": '{"words":3}'})
    assert offer.completed_stage_ids == ("a",)
    assert offer.lease.lease_token != first.lease.lease_token


async def test_outputs_ride_along_by_need_as_far_as_they_fit(scene: Scene) -> None:
    definition = workflow("flow", "a", "b", stage("c", dependencies=("a",)))
    registered = await scene.register(definition)
    await scene.create("flow")
    session_id = await scene.open_session()
    half = "x" * (OFFER_OUTPUTS_BYTES_MAX // 2 - 2)
    for output in (half, half):
        [offer] = await scene.lease(session_id, registered)
        await scene.report(offer, completed(output))
    [offer] = await scene.lease(session_id, registered)
    assert list(offer.outputs) == ["b", "a"]
    assert sum(len(text) for text in offer.outputs.values()) == OFFER_OUTPUTS_BYTES_MAX


async def test_an_output_that_does_not_fit_is_left_for_the_worker_to_fetch(scene: Scene) -> None:
    definition = workflow("flow", "a", "b", stage("c", dependencies=("a",)))
    registered = await scene.register(definition)
    run_id = await scene.create("flow")
    session_id = await scene.open_session()
    for output in ("x" * (PAYLOAD_INLINE_BYTES_MAX - 2), "small"):
        [offer] = await scene.lease(session_id, registered)
        await scene.report(offer, completed(output))
    [offer] = await scene.lease(session_id, registered)
    assert (list(offer.outputs), offer.completed_stage_ids) == (["b"], ("a", "b"))
    assert set(await scene.backend.queries.read_outputs("default", run_id, [1, 2])) == {1, 2}


@pytest.mark.parametrize("slots", [0, -1])
async def test_a_demand_without_slots_takes_nothing(scene: Scene, slots: int) -> None:
    registered = await scene.register(workflow("flow", "a"))
    await scene.create("flow")
    demand = LeaseDemand(await scene.open_session(), registered.route_ids, slots)
    assert (await scene.kernel.dispatch_many([LeaseJobs((demand,))])).effects.offers == ()


async def test_a_job_that_waits_for_its_time_is_not_leased_and_tells_when_to_wake(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    await scene.create("flow")
    session_id = await scene.open_session()
    [offer] = await scene.lease(session_id, registered)
    dispatched = await scene.report_many((offer, failed(retry_after=timedelta(seconds=30))))
    wake_at = scene.clock.now() + timedelta(seconds=30)
    assert (dispatched.effects.wake_at, dispatched.effects.ready_routes) == (wake_at, frozenset())
    assert (await scene.promote()).next_available_at == wake_at
    assert await scene.lease(session_id, registered) == ()
