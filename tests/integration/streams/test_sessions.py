"""Sessions over several streams: resumed, superseded, lost, drained."""

from uuid import UUID

import grpc

from stageline.v1 import report_pb2, run_pb2, session_pb2, worker_pb2
from stageline_engine.model.run import RunState
from stageline_engine.testing.definitions import workflow
from tests.support.plane import BRISK, Deployment, PlaneServer
from tests.support.raw_worker import RawWorker, credits_item, report_item
from tests.waiting import eventually

KEEP, DROP = session_pb2.LEASE_VERDICT_KEEP, session_pb2.LEASE_VERDICT_DROP
RECORDED = report_pb2.REPORT_DISPOSITION_RECORDED


async def until_stream_gone(server: PlaneServer, worker: RawWorker) -> None:
    """Waits until a server has noticed that a stream is over."""

    async def gone() -> bool:
        return server.plane.sessions.get(UUID(worker.session_id)) is None

    await eventually(gone, what="the stream to be gone")


def held(token: bytes, *, reported: bool = False) -> session_pb2.HeldLease:
    return session_pb2.HeldLease(lease_token=token, unacknowledged_report=reported)


async def test_a_broken_connection_ends_no_lease(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=2)
    run_id = await server.create("one")
    offer = await worker.offer()
    await worker.ping_pong()
    worker.break_off()
    await until_stream_gone(server, worker)
    assert (await server.details(run_id)).stages[0].stage.state.value == "RUNNING"
    again = await server.connect(
        "one", slots=2, free=1, resume_session_id=worker.session_id, held_leases=[held(offer.lease_token)]
    )
    assert again.welcome.resumed
    assert again.session_id == worker.session_id
    verdict = (await again.next("held_lease_verdict")).held_lease_verdict
    assert (verdict.lease_token, verdict.verdict) == (offer.lease_token, KEEP)
    await again.report(offer)
    assert (await again.acknowledgement()).disposition == RECORDED
    details = await server.until_run(run_id, RunState.COMPLETED)
    assert (details.stages[0].stage.attempt, details.stages[0].stage.delivery) == (1, 1)


async def test_lines_after_a_reconnect_bear_their_attempt(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=1)
    run_id = await server.create("one")
    offer = await worker.offer()
    worker.break_off()
    await until_stream_gone(server, worker)
    again = await server.connect(
        "one", free=0, resume_session_id=worker.session_id, held_leases=[held(offer.lease_token)]
    )
    entry = run_pb2.LogEntry(level=run_pb2.LOG_LEVEL_INFO, message="still here")
    batch = worker_pb2.LogBatch(lease_token=offer.lease_token, entries=[entry])
    await again.send(worker_pb2.WorkerItem(logs=batch), report_item(offer.lease_token))
    await again.acknowledgement()
    await server.plane.logs.flushed()
    [line] = await server.ports.logs.list("default", run_id, limit=10)
    assert (line.message, line.attempt) == ("still here", offer.attempt)


async def test_verdicts_and_what_is_not_listed(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=4)
    for _ in range(4):
        await server.create("one")
    kept, reported, unlisted, done = await worker.offers(4)
    await worker.report(done)
    await worker.acknowledgement()
    worker.break_off()
    await until_stream_gone(server, worker)
    again = await server.connect(
        "one",
        slots=4,
        free=2,
        resume_session_id=worker.session_id,
        held_leases=[
            held(kept.lease_token),
            held(reported.lease_token, reported=True),
            held(done.lease_token),
            held(done.lease_token, reported=True),
            held(b"?" * 100),
        ],
    )
    verdicts = [(await again.next("held_lease_verdict")).held_lease_verdict for _ in range(5)]
    assert [verdict.verdict for verdict in verdicts] == [KEEP, KEEP, DROP, KEEP, DROP]
    assert verdicts[4].lease_token == b"?" * 64
    fresh = await again.offer()  # the unlisted one comes back, at no cost
    assert (fresh.run_id, fresh.attempt, fresh.delivery) == (unlisted.run_id, 1, 1)
    assert fresh.lease_token != unlisted.lease_token
    await again.send(*(report_item(offer.lease_token) for offer in (kept, reported, done, unlisted, fresh)))
    dispositions = {
        answer.lease_token: answer.disposition for answer in [await again.acknowledgement() for _ in range(5)]
    }
    assert dispositions == {
        kept.lease_token: RECORDED,
        reported.lease_token: RECORDED,
        done.lease_token: report_pb2.REPORT_DISPOSITION_ALREADY_RECORDED,
        unlisted.lease_token: report_pb2.REPORT_DISPOSITION_SUPERSEDED,
        fresh.lease_token: RECORDED,
    }


async def test_an_unknown_session_begins_anew(server: PlaneServer) -> None:
    for session_id in ("nonsense", "0192f0c1-2345-7000-8000-000000000000"):
        worker = await server.connect("one", resume_session_id=session_id, held_leases=[held(b"x" * 37)])
        assert not worker.welcome.resumed
        assert worker.session_id != session_id
        assert (await worker.next("held_lease_verdict")).held_lease_verdict.verdict == DROP


async def test_a_session_of_another_namespace_is_not_resumed(server: PlaneServer) -> None:
    await server.register(workflow("one", "only"), "other")
    theirs = await server.connect("one")
    mine = await server.connect("one", namespace="other", resume_session_id=theirs.session_id)
    assert not mine.welcome.resumed
    await theirs.ping_pong()


async def test_the_newer_stream_of_a_session_counts(server: PlaneServer) -> None:
    old = await server.connect("one", slots=1)
    run_id = await server.create("one")
    offer = await old.offer()
    new = await server.connect(
        "one", slots=1, free=0, resume_session_id=old.session_id, held_leases=[held(offer.lease_token)]
    )
    ending = await old.ended()
    assert (ending.code, ending.reason) == (grpc.StatusCode.ABORTED, "SESSION_SUPERSEDED")
    assert ending.item is not None
    assert ending.item.reason == session_pb2.DISCONNECT_REASON_SUPERSEDED
    await new.report(offer, credits_item(1))
    await server.until_run(run_id, RunState.COMPLETED)
    await server.create("one")
    assert (await new.offer()).run_id != str(run_id)


async def test_a_report_of_the_old_stream_is_not_lost(server: PlaneServer) -> None:
    """It is committed after its session has moved; its answer is for the new stream to ask for."""
    old = await server.connect("one")
    run_id = await server.create("one")
    offer = await old.offer()
    await old.report(offer)
    new = await server.connect(
        "one", resume_session_id=old.session_id, held_leases=[held(offer.lease_token, reported=True)]
    )
    await new.report(offer)
    disposition = (await new.acknowledgement()).disposition
    assert disposition in (RECORDED, report_pb2.REPORT_DISPOSITION_ALREADY_RECORDED)
    details = await server.until_run(run_id, RunState.COMPLETED)
    assert details.stages[0].stage.attempt == 1
    assert not server.plane.sessions.get(UUID(new.session_id)).held  # type: ignore[union-attr]


async def test_a_silent_worker_loses_its_jobs(deployment: Deployment, server: PlaneServer) -> None:
    brisk = await deployment.serve(BRISK)
    silent = await brisk.connect("one", slots=1)
    run_id = await brisk.create("one")
    offer = await silent.offer()
    heir = await server.connect("one", slots=1)
    ending = await silent.ended()
    assert (ending.code, ending.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "SESSION_TIMED_OUT")
    assert ending.item is not None
    assert ending.item.reconnect
    again = await heir.offer()
    assert (again.run_id, again.attempt, again.delivery) == (str(run_id), 1, 2)
    late = await server.connect(
        "one", free=0, resume_session_id=silent.session_id, held_leases=[held(offer.lease_token)]
    )
    assert not late.welcome.resumed
    assert (await late.next("held_lease_verdict")).held_lease_verdict.verdict == DROP
    await late.report(offer)
    assert (await late.acknowledgement()).disposition == report_pb2.REPORT_DISPOSITION_SUPERSEDED
    await heir.report(again)
    await server.until_run(run_id, RunState.COMPLETED)


async def test_a_worker_that_never_comes_back_loses_its_jobs(
    deployment: Deployment, server: PlaneServer
) -> None:
    brisk = await deployment.serve(BRISK)
    lost = await brisk.connect("one", slots=1)
    run_id = await brisk.create("one")
    await lost.offer()
    lost.break_off()
    heir = await server.connect("one", slots=1)
    again = await heir.offer()
    assert (again.run_id, again.delivery) == (str(run_id), 2)


async def test_pings_keep_a_session(deployment: Deployment) -> None:
    brisk = await deployment.serve(BRISK)
    await brisk.register(workflow("one", "only"))
    worker = await brisk.connect("one", slots=1)
    run_id = await brisk.create("one")
    offer = await worker.offer()
    frames = int(3 * BRISK.session_timeout / BRISK.heartbeat_interval)
    for _ in range(frames):  # each comes at the server's own interval
        await worker.next_frame()
        await worker.send()
    await worker.report(offer)
    assert (await worker.acknowledgement()).disposition == RECORDED
    assert (await brisk.details(run_id)).stages[0].stage.delivery == 1


async def test_a_worker_says_nothing_at_first(deployment: Deployment) -> None:
    brisk = await deployment.serve(BRISK)
    stream = brisk.open_stream()
    await stream.call.wait_for_connection()
    assert (await stream.ended()).reason == "SESSION_TIMED_OUT"


async def test_a_worker_that_leaves_hands_on_what_it_holds(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=3)
    runs = [str(await server.create("one")) for _ in range(3)]
    offers = await worker.offers(3)
    await worker.report(offers[0])
    await worker.half_close()
    answer = await worker.acknowledgement()
    assert (answer.lease_token, answer.disposition) == (offers[0].lease_token, RECORDED)
    ending = await worker.ended()
    assert ending.code is grpc.StatusCode.OK
    assert ending.item is not None
    assert ending.item.reason == session_pb2.DISCONNECT_REASON_DRAINED
    assert await server.ports.sessions.list("default", limit=10) == []
    heir = await server.connect("one", slots=3)
    again = await heir.offers(2)
    assert sorted(offer.run_id for offer in again) == sorted(offer.run_id for offer in offers[1:])
    assert {offer.run_id for offer in offers} == set(runs)
    assert {(offer.attempt, offer.delivery) for offer in again} == {(1, 1)}
    late = await server.connect("one", free=0)
    await late.report(offers[1])
    assert (await late.acknowledgement()).disposition == report_pb2.REPORT_DISPOSITION_SUPERSEDED


async def test_a_worker_that_drains_gets_nothing_new(server: PlaneServer) -> None:
    worker = await server.connect("chain", slots=5)
    await server.create("chain")
    offer = await worker.offer()
    await worker.send(worker_pb2.WorkerItem(drain=session_pb2.Drain(reason="deploy")))
    await worker.report(offer, credits_item(5))
    await worker.acknowledgement()
    await server.create("chain")
    await worker.ping_pong()
    assert not worker.waiting("offer")
    await worker.half_close()
    assert (await worker.ended()).item.reason == session_pb2.DISCONNECT_REASON_DRAINED  # type: ignore[union-attr]


async def test_a_server_that_drains_sends_its_workers_away(
    deployment: Deployment, server: PlaneServer
) -> None:
    worker = await server.connect("one", slots=2)
    run_id = await server.create("one")
    offer = await worker.offer()
    await server.plane.drain()
    await worker.next("drain")
    other = await server.create("one")
    await worker.ping_pong()
    assert not worker.waiting("offer")
    await worker.report(offer)
    assert (await worker.acknowledgement()).disposition == RECORDED
    await server.until_run(run_id, RunState.COMPLETED)
    refused = await server.open_stream().ended()
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    elsewhere = await deployment.serve()
    again = await elsewhere.connect("one", resume_session_id=worker.session_id)
    assert again.welcome.resumed
    assert (await again.offer()).run_id == str(other)


async def test_a_job_that_the_worker_stops_by_itself_is_handed_on(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=1)
    await server.create("one")
    offer = await worker.offer()
    done = worker_pb2.DirectiveDone(lease_token=offer.lease_token, stopped=True)
    await worker.send(worker_pb2.WorkerItem(directive_done=done), credits_item(1))
    again = await worker.offer()
    assert (again.run_id, again.attempt, again.delivery) == (offer.run_id, 1, 1)


async def test_a_cancelled_run_stops_its_workers(server: PlaneServer) -> None:
    worker = await server.connect("chain", slots=3)
    run_id = await server.create("chain")
    await worker.report(await worker.offer())
    await worker.acknowledgement()
    await worker.send(credits_item(3))
    left, right = await worker.offers(2)
    assert (await server.cancel(run_id)).cancelled
    directives = [(await worker.next("directive")).directive for _ in range(2)]
    assert {directive.lease_token for directive in directives} == {left.lease_token, right.lease_token}
    assert {directive.action for directive in directives} == {worker_pb2.DIRECTIVE_ACTION_STOP}
    assert {directive.reason for directive in directives} == {worker_pb2.STOP_REASON_RUN_ENDED}
    await worker.report(left)
    assert (await worker.acknowledgement()).disposition == report_pb2.REPORT_DISPOSITION_RUN_ENDED
    done = worker_pb2.DirectiveDone(lease_token=right.lease_token, stopped=True)
    await worker.send(worker_pb2.WorkerItem(directive_done=done))
    assert not (await server.cancel(run_id)).cancelled
    assert (await server.details(run_id)).run.state is RunState.CANCELLED
    await worker.ping_pong()
    assert not worker.waiting("error")


async def test_a_stream_ends_when_its_session_has(server: PlaneServer) -> None:
    worker = await server.connect("one")
    session_id = UUID(worker.session_id)
    ended = await server.ports.sessions.end(
        session_id, server.plane.server_id, server.ports.clock.now(), "DRAINED"
    )
    assert ended
    await server.plane.housekeeping._renew()
    ending = await worker.ended()
    assert (ending.code, ending.reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
