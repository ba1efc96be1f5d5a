"""SPEC 11.7 and 11.8: cancellation, lost workers, late reports."""

from datetime import timedelta

import orjson
import pytest
from msgspec.structs import replace

from stageline_engine.commands import CancelRun, Disposition, Returned, RunCancellation
from stageline_engine.decide.stale import WORKER_LOST
from stageline_engine.limits import (
    CANCEL_REASON_LENGTH_MAX,
    DELIVERIES_PER_ATTEMPT_MAX,
    HEARTBEAT_INTERVAL,
    SESSION_TIMEOUT,
)
from stageline_engine.model.definition import RetryPolicy
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing import Scene, stage, workflow
from stageline_engine.testing.scene import completed, failed


async def test_11_7_82_a_waiting_run_is_cancelled_and_never_leased(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", ["a", "b"]))
    run_id = await scene.create("flow")
    assert await scene.cancel(run_id, "enough") == RunCancellation(True, RunState.CANCELLED)
    assert await scene.lease(await scene.open_session(), registered) == ()
    events = await scene.events(run_id)
    assert [event.type for event in events[2:]] == [
        "stage:cancelled",
        "stage:cancelled",
        "workflow:cancelled",
    ]
    assert orjson.loads(events[-1].payload) == {"reason": "enough"}


async def test_11_7_82_a_run_that_has_ended_is_left_alone(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    [offer] = await scene.lease(await scene.open_session(), registered)
    await scene.report(offer, completed(1))
    before = await scene.details(run_id), await scene.events(run_id)
    assert await scene.cancel(run_id) == RunCancellation(False, RunState.COMPLETED)
    assert (await scene.details(run_id), await scene.events(run_id)) == before


async def test_11_7_82_an_unknown_or_foreign_run_is_not_found(scene: Scene) -> None:
    await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    for command in (CancelRun("default", scene.ids.new_id()), CancelRun("another", run_id)):
        answer = await scene.kernel.dispatch(command)
        assert isinstance(answer, Rejection)
        assert answer.reason is Reason.RUN_NOT_FOUND
    assert (await scene.details(run_id)).run.state is RunState.RUNNING


async def test_a_cancellation_tells_who_must_stop(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", ["a", "b", "c"]))
    run_id = await scene.create("flow")
    leased = await scene.lease(await scene.open_session(), registered, slots=2)
    dispatched = await scene.kernel.dispatch_many([CancelRun("default", run_id)])
    assert set(dispatched.effects.stopped) == {offer.lease for offer in leased}


async def test_a_repeated_cancellation_with_its_key_gives_the_first_answer(scene: Scene) -> None:
    await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    first = await scene.cancel(run_id, "why", idempotency_key="key")
    assert await scene.cancel(run_id, "why", idempotency_key="key") == first
    assert await scene.cancel(run_id, "why") == RunCancellation(False, RunState.CANCELLED)
    other = await scene.cancel(run_id, "another reason", idempotency_key="key")
    assert isinstance(other, Rejection)
    assert other.reason is Reason.REQUEST_ID_REUSED


async def test_a_reason_has_a_length_and_no_null(scene: Scene) -> None:
    await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    for reason, key in (("r" * (CANCEL_REASON_LENGTH_MAX + 1), ""), ("\0", ""), ("", "\0")):
        answer = await scene.cancel(run_id, reason, idempotency_key=key)
        assert isinstance(answer, Rejection)
        assert answer.reason is Reason.INVALID_FIELD
    assert isinstance(await scene.cancel(run_id, "r" * CANCEL_REASON_LENGTH_MAX), RunCancellation)


@pytest.mark.parametrize("outcome", [completed(1), failed(), Returned()], ids=["done", "failed", "returned"])
async def test_11_7_83_a_report_after_the_cancellation_is_discarded(scene: Scene, outcome: object) -> None:
    registered = await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    [offer] = await scene.lease(await scene.open_session(), registered)
    await scene.cancel(run_id)
    before = await scene.details(run_id), await scene.events(run_id)
    answer = await scene.report(offer, outcome)  # type: ignore[arg-type]
    assert answer.disposition is Disposition.RUN_ENDED
    assert (await scene.details(run_id), await scene.events(run_id)) == before


async def test_11_7_85_nothing_starts_after_the_cancellation(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", ["a", "b"], "c"))
    run_id = await scene.create("flow")
    demand = scene.demand(await scene.open_session(), registered)
    first, second = await scene.lease(demand.session_id, registered)
    await scene.report(first, completed(1))
    await scene.cancel(run_id)
    dispatched = await scene.report_many((second, completed(1)), demands=[demand])
    assert dispatched.effects.offers == ()
    types = await scene.event_types(run_id)
    assert types[-1] == "workflow:cancelled"
    assert {entry.stage.state for entry in (await scene.details(run_id)).stages} == {
        StageState.COMPLETED,
        StageState.CANCELLED,
    }


async def test_11_8_92_a_dead_sessions_job_goes_to_another_and_a_living_ones_stays(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", ["a", "b"]))
    run_id = await scene.create("flow", b'"payload"')
    dead, living = await scene.open_session(), await scene.open_session()
    [lost] = await scene.lease(dead, registered, slots=1)
    [kept] = await scene.lease(living, registered, slots=1)
    scene.clock.advance(HEARTBEAT_INTERVAL)
    await scene.renew(living)
    scene.clock.advance(SESSION_TIMEOUT - HEARTBEAT_INTERVAL)
    reaped = await scene.reap()
    assert (reaped.sessions, reaped.requeued, reaped.poisoned) == ((dead,), 1, 0)
    [again] = await scene.lease(living, registered)
    assert (again.stage_id, again.attempt, again.delivery) == (lost.stage_id, 1, 2)
    assert again.run_input == '"payload"'
    assert (await scene.report(kept, completed(1))).disposition is Disposition.RECORDED
    events = await scene.events(run_id)
    [requeued] = [event for event in events if event.type == "stage:requeued"]
    assert orjson.loads(requeued.payload) == {"stage_id": "a", "reason": "lease_expired", "delivery": 1}


async def test_reaping_when_nobody_died_does_nothing(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    session_id = await scene.open_session()
    await scene.lease(session_id, registered)
    before = await scene.details(run_id)
    for _ in range(10):
        scene.clock.advance(HEARTBEAT_INTERVAL)
        assert await scene.renew(session_id) == {session_id}
        assert (await scene.reap()).sessions == ()
    assert await scene.details(run_id) == before


@pytest.mark.parametrize("outcome", [completed("late"), failed(retryable=False), Returned()])
async def test_11_8_95_only_the_outcome_of_the_second_worker_counts(scene: Scene, outcome: object) -> None:
    registered = await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    [late] = await scene.lease(await scene.open_session(), registered)
    scene.clock.advance(SESSION_TIMEOUT)
    await scene.reap()
    [again] = await scene.lease(await scene.open_session(), registered)
    assert (await scene.report(late, outcome)).disposition is Disposition.SUPERSEDED  # type: ignore[arg-type]
    await scene.report(again, completed("good"))
    assert (await scene.report(late, outcome)).disposition is Disposition.RUN_ENDED  # type: ignore[arg-type]
    assert dict(await scene.backend.queries.read_outputs("default", run_id, [1])) == {1: '"good"'}


async def test_poison_fails_its_stage_after_so_many_deliveries(scene: Scene) -> None:
    policy = RetryPolicy(max_attempts=50)
    registered = await scene.register(workflow("flow", stage("a", retry=policy), "b"))
    run_id = await scene.create("flow")
    for delivery in range(1, DELIVERIES_PER_ATTEMPT_MAX + 1):
        [offer] = await scene.lease(await scene.open_session(), registered)
        assert (offer.attempt, offer.delivery) == (1, delivery)
        scene.clock.advance(SESSION_TIMEOUT)
        reaped = await scene.reap()
        last = delivery == DELIVERIES_PER_ATTEMPT_MAX
        assert (reaped.requeued, reaped.poisoned) == (0 if last else 1, 1 if last else 0)
    details = await scene.details(run_id)
    assert details.run.state is RunState.FAILED
    assert details.run.error is not None
    assert (details.run.error.code, details.run.error.stage_id) == (WORKER_LOST, "a")
    assert (await scene.event_types(run_id)).count("stage:started") == DELIVERIES_PER_ATTEMPT_MAX


async def test_a_failed_try_gives_the_next_one_a_fresh_count_of_deliveries(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    for _ in range(DELIVERIES_PER_ATTEMPT_MAX - 1):
        await scene.lease(await scene.open_session(), registered)
        scene.clock.advance(SESSION_TIMEOUT)
        await scene.reap()
    [offer] = await scene.lease(await scene.open_session(), registered)
    await scene.report(offer, failed(retry_after=timedelta()))
    await scene.promote()
    [again] = await scene.lease(await scene.open_session(), registered)
    assert (again.attempt, again.delivery) == (2, 1)
    assert (await scene.details(run_id)).run.state is RunState.RUNNING


async def test_returning_a_job_costs_nothing_however_often(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    session_id = await scene.open_session()
    for started in (True, False) * DELIVERIES_PER_ATTEMPT_MAX:
        [offer] = await scene.lease(session_id, registered)
        assert (offer.attempt, offer.delivery) == (1, 1)
        dispatched = await scene.report_many((offer, Returned(started)))
        assert dispatched.effects.ready_routes == set(registered.route_ids)
        assert (await scene.report(offer, Returned(started))).disposition is Disposition.SUPERSEDED
    reasons = [
        orjson.loads(event.payload)["reason"]
        for event in await scene.events(run_id)
        if event.type == "stage:requeued"
    ]
    assert reasons == ["returned", "undelivered"] * DELIVERIES_PER_ATTEMPT_MAX


async def test_a_foreign_namespace_cannot_report(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    [offer] = await scene.lease(await scene.open_session(), registered)
    foreign = replace(offer, namespace="another")
    assert (await scene.report(foreign, completed(1))).disposition is Disposition.SUPERSEDED
    assert (await scene.details(run_id)).run.state is RunState.RUNNING
