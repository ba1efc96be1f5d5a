"""A worker whose streams break, whose server is silent, says no, or wants something else."""

import asyncio
from datetime import timedelta

import grpc
import pytest

from stageline.v1 import error_pb2, report_pb2, session_pb2, worker_pb2
from stageline_sdk import ApiError, InvalidArgumentError, UnauthenticatedError, Worker
from tests.integration.worker_sdk.conftest import StartWorker
from tests.integration.worker_sdk.offers import an_offer, recorded
from tests.integration.worker_sdk.stages import OTHERS, PIPELINE, Gates
from tests.support.scripted_server import ScriptedServer, ServerStream, duration

WAITING = an_offer("wait", workflow_name="others", run_input={"value": 1})


def verdict(value: session_pb2.LeaseVerdict.ValueType) -> session_pb2.HeldLeaseVerdict:
    return session_pb2.HeldLeaseVerdict(lease_token=b"lease-1", verdict=value)


def stop(reason: worker_pb2.StopReason.ValueType = worker_pb2.STOP_REASON_RUN_ENDED) -> worker_pb2.Directive:
    return worker_pb2.Directive(
        lease_token=b"lease-1",
        action=worker_pb2.DIRECTIVE_ACTION_STOP,
        reason=reason,
        message="changed my mind",
        deadline=duration(timedelta(milliseconds=100)),
    )


async def connected(server: ScriptedServer, start: StartWorker) -> ServerStream:
    start(Worker(OTHERS, PIPELINE))
    stream = await server.next_stream()
    await stream.welcome()
    return stream


# Streams that break


async def test_a_report_whose_acknowledgement_was_lost_is_sent_again(
    server: ScriptedServer, start: StartWorker
) -> None:
    stream = await connected(server, start)
    await stream.send(offer=an_offer("double", run_input={"value": 2}))
    first = (await stream.next("report")).report
    await stream.end(grpc.StatusCode.UNAVAILABLE)

    again = await server.next_stream()
    assert again.hello.resume_session_id == "session-1"
    (held,) = again.hello.held_leases
    assert (held.lease_token, held.unacknowledged_report) == (b"lease-1", True)
    await again.welcome(resumed=True)
    await again.send(held_lease_verdict=verdict(session_pb2.LEASE_VERDICT_KEEP))
    second = (await again.next("report")).report
    assert second == first
    await again.send(report_acknowledgement=recorded(second))
    await again.end(grpc.StatusCode.UNAVAILABLE)

    third = await server.next_stream()
    assert len(third.hello.held_leases) == 0


async def test_work_goes_on_while_the_stream_is_broken(
    server: ScriptedServer, start: StartWorker, gates: Gates
) -> None:
    stream = await connected(server, start)
    await stream.send(offer=WAITING)
    await gates.entered.get()
    await stream.end(grpc.StatusCode.UNAVAILABLE)
    again = await server.next_stream()
    (held,) = again.hello.held_leases
    assert not held.unacknowledged_report
    await again.welcome(resumed=True)
    await again.send(held_lease_verdict=verdict(session_pb2.LEASE_VERDICT_KEEP))
    gates.open.set()
    report = (await again.next("report")).report
    assert report.WhichOneof("outcome") == "completed"
    assert gates.cancelled == []


async def test_a_lease_that_the_server_dropped_ends_the_work(
    server: ScriptedServer, start: StartWorker, gates: Gates
) -> None:
    stream = await connected(server, start)
    await stream.send(offer=WAITING)
    await gates.entered.get()
    await stream.end(grpc.StatusCode.UNAVAILABLE)
    again = await server.next_stream()
    assert again.credits == 15
    await again.welcome(session_id="session-2")
    await again.send(held_lease_verdict=verdict(session_pb2.LEASE_VERDICT_DROP))
    while again.credits != 16:
        await again.next("credits")
    assert gates.cancelled == ["run-1"]
    assert "report" not in again.kinds()


async def test_a_stream_that_ends_in_peace_is_taken_up_again(
    server: ScriptedServer, start: StartWorker
) -> None:
    stream = await connected(server, start)
    end = session_pb2.SessionEnd(
        reason=session_pb2.DISCONNECT_REASON_STREAM_AGE,
        reconnect=True,
        reconnect_after=duration(timedelta(milliseconds=1)),
    )
    await stream.send(session_end=end)
    await stream.end()
    again = await server.next_stream()
    assert again.hello.resume_session_id == "session-1"


async def test_a_superseded_session_is_not_resumed(
    server: ScriptedServer, start: StartWorker, gates: Gates
) -> None:
    stream = await connected(server, start)
    await stream.send(offer=WAITING)
    await gates.entered.get()
    end = session_pb2.SessionEnd(reason=session_pb2.DISCONNECT_REASON_SUPERSEDED, reconnect=False)
    await stream.send(session_end=end)
    await stream.end(grpc.StatusCode.ABORTED)
    again = await server.next_stream()
    assert again.hello.resume_session_id == ""
    assert len(again.hello.held_leases) == 0


async def test_broken_framing_of_the_server_ends_the_stream_only(
    server: ScriptedServer, start: StartWorker
) -> None:
    stream = await connected(server, start)
    await stream.send_frame(worker_pb2.ServerFrame(sequence=7))
    await stream.is_over()
    again = await server.next_stream()
    assert again.hello.resume_session_id == "session-1"


# Silence


async def test_a_welcome_that_never_comes_is_not_awaited_for_ever(
    server: ScriptedServer, start: StartWorker
) -> None:
    start(Worker(OTHERS, PIPELINE))
    stream = await server.next_stream()
    await stream.welcome(
        heartbeat_interval=timedelta(milliseconds=100), session_timeout=timedelta(milliseconds=300)
    )
    await stream.end(grpc.StatusCode.UNAVAILABLE)
    for _ in range(2):  # at the second one no time of an earlier stream is left to wake the worker
        silent = await server.next_stream()
        await silent.is_over()
    again = await server.next_stream()
    assert again.hello.resume_session_id == "session-1"


async def test_a_silent_server_loses_the_leases_and_still_gets_the_reports(
    server: ScriptedServer, start: StartWorker, gates: Gates
) -> None:
    start(Worker(OTHERS))
    stream = await server.next_stream()
    await stream.welcome(
        heartbeat_interval=timedelta(milliseconds=100), session_timeout=timedelta(milliseconds=300)
    )
    await stream.send(offer=WAITING)
    await gates.entered.get()
    await stream.is_over()
    again = await server.next_stream()
    assert gates.cancelled == ["run-1"]
    assert [held.lease_token for held in again.hello.held_leases] == [b"lease-1"]
    await again.welcome(resumed=True)
    await again.send(held_lease_verdict=verdict(session_pb2.LEASE_VERDICT_KEEP))
    report = (await again.next("report")).report
    assert report.returned.started


async def test_a_worker_with_nothing_to_say_pings(server: ScriptedServer, start: StartWorker) -> None:
    start(Worker(OTHERS))
    stream = await server.next_stream()
    await stream.welcome(heartbeat_interval=timedelta(milliseconds=50))
    await stream.frames_counted(4)
    assert [len(frame.items) for frame in stream.frames[1:4]] == [0, 0, 0]
    assert stream.frames[1].acknowledged_sequence == 1


async def test_code_that_blocks_the_loop_is_named_and_does_not_starve_the_session(
    gates: Gates, caplog: pytest.LogCaptureFixture
) -> None:
    seen = await asyncio.to_thread(asyncio.run, _serve_a_blocked_worker())
    assert seen >= 4, "pings went on"
    warnings = [record.getMessage() for record in caplog.records if "blocked the loop" in record.getMessage()]
    assert any("stage block" in warning and "stages.py" in warning for warning in warnings), warnings


async def _serve_a_blocked_worker() -> int:
    """Serve a worker that lives on another thread's loop, and return how many frames came while it was blocked."""
    async with ScriptedServer() as server:
        worker = Worker(OTHERS)
        running = asyncio.create_task(asyncio.to_thread(asyncio.run, worker.run(server.address)))
        stream = await server.next_stream()
        await stream.welcome(heartbeat_interval=timedelta(milliseconds=200))
        await stream.send(offer=an_offer("block", workflow_name="others", run_input={"value": 2}))
        await stream.send(report_acknowledgement=recorded((await stream.next("report")).report))
        worker.stop()
        await running
        return len(stream.frames)


# Directives


async def test_a_cancelled_job_is_stopped_and_answered(
    server: ScriptedServer, start: StartWorker, gates: Gates
) -> None:
    stream = await connected(server, start)
    await stream.send(offer=WAITING)
    await gates.entered.get()
    await stream.send(directive=stop())
    done = (await stream.next("directive_done")).directive_done
    assert (done.lease_token, done.stopped) == (b"lease-1", True)
    assert gates.cancelled == ["run-1"]
    assert "report" not in stream.kinds()


async def test_a_cancelled_thread_learns_why(
    server: ScriptedServer, start: StartWorker, gates: Gates
) -> None:
    stream = await connected(server, start)
    await stream.send(offer=an_offer("wait-in-thread", workflow_name="others", run_input={"value": 1}))
    await gates.entered.get()
    await stream.send(directive=stop())
    assert (await stream.next("directive_done")).directive_done.stopped
    assert gates.cancelled == ["changed my mind"]


async def test_a_thread_that_runs_on_is_cut_off_and_keeps_its_slot(
    server: ScriptedServer, start: StartWorker, gates: Gates
) -> None:
    stream = await connected(server, start)
    await stream.send(offer=an_offer("stubborn", workflow_name="others", run_input={"value": 1}))
    await gates.entered.get()
    await stream.send(directive=stop())
    assert not (await stream.next("directive_done")).directive_done.stopped
    gates.thread.set()
    assert (await stream.next("credits")).credits.free_slots == 16


async def test_items_that_are_not_known_are_passed_over(server: ScriptedServer, start: StartWorker) -> None:
    stream = await connected(server, start)
    unknown = worker_pb2.ServerItem.FromString(b"\xfa\x3e\x02\x08\x01")  # Field 1007, a message.
    offer = an_offer("double", run_input={"value": 2})
    offer.MergeFromString(b"\xfa\x3e\x02\x08\x01")
    frame = worker_pb2.ServerFrame(items=[unknown, worker_pb2.ServerItem(offer=offer)])
    frame.MergeFromString(b"\xfa\x3e\x02\x08\x01")
    await stream.send_frame(frame)
    assert (await stream.next("report")).report.WhichOneof("outcome") == "completed"


# The end


async def test_a_worker_that_is_stopped_finishes_what_it_holds(server: ScriptedServer, gates: Gates) -> None:
    worker = Worker(OTHERS)
    running = asyncio.create_task(worker.run(server.address))
    stream = await server.next_stream()
    await stream.welcome()
    await stream.send(offer=WAITING)
    await gates.entered.get()
    worker.stop()
    await stream.next("drain")
    assert stream.credits == 0
    late = an_offer("wait", token="late", workflow_name="others", run_input={"value": 1})
    await stream.send(offer=late)
    handed_back = (await stream.next("report")).report
    assert handed_back.returned.reason == report_pb2.RETURN_REASON_DRAINING
    gates.open.set()
    report = (await stream.next("report")).report
    assert report.WhichOneof("outcome") == "completed"
    assert not running.done()
    await stream.send(report_acknowledgement=[recorded(handed_back), recorded(report)])
    await stream.is_over()
    await running


async def test_what_is_not_done_in_time_is_handed_back(server: ScriptedServer, gates: Gates) -> None:
    worker = Worker(OTHERS)
    running = asyncio.create_task(worker.run(server.address))
    stream = await server.next_stream()
    await stream.welcome()
    await stream.send(offer=WAITING)
    await gates.entered.get()
    worker.stop(within=timedelta(seconds=1))
    report = (await stream.next("report")).report
    assert (report.returned.reason, report.returned.started) == (report_pb2.RETURN_REASON_DRAINING, True)
    await stream.send(report_acknowledgement=recorded(report))
    await running
    assert gates.cancelled == ["run-1"]


async def test_cancelling_a_worker_hands_back_what_it_holds(server: ScriptedServer, gates: Gates) -> None:
    running = asyncio.create_task(Worker(OTHERS).run(server.address))
    stream = await server.next_stream()
    await stream.welcome()
    await stream.send(offer=WAITING)
    await gates.entered.get()
    running.cancel()
    report = (await stream.next("report")).report
    assert report.returned.started
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_worker_that_may_not_work_here_ends(server: ScriptedServer, start: StartWorker) -> None:
    running = start(Worker(OTHERS))
    stream = await server.next_stream()
    await stream.end(grpc.StatusCode.UNAUTHENTICATED, "the token has expired")
    with pytest.raises(UnauthenticatedError, match="the token has expired"):
        await running


async def test_a_workflow_that_is_refused_ends_the_worker(server: ScriptedServer, start: StartWorker) -> None:
    server.refuse_registration = error_pb2.ErrorDetail(
        reason=error_pb2.ERROR_REASON_INVALID_DEFINITION,
        message="a group is empty",
        violations=[error_pb2.FieldViolation(field="definition.groups.0", description="has no stage")],
    )
    with pytest.raises(InvalidArgumentError, match="refused workflow 'others'") as raised:
        await start(Worker(OTHERS))
    assert raised.value.field_violations[0].field == "definition.groups.0"


async def test_a_server_that_says_that_it_is_of_no_use_ends_the_worker(
    server: ScriptedServer, start: StartWorker
) -> None:
    running = start(Worker(OTHERS))
    stream = await server.next_stream()
    error = error_pb2.ErrorDetail(
        reason=error_pb2.ERROR_REASON_PROTOCOL_VERSION_UNSUPPORTED, message="speak version 2"
    )
    end = session_pb2.SessionEnd(
        reason=session_pb2.DISCONNECT_REASON_PROTOCOL_VERSION, reconnect=False, error=error
    )
    await stream.send_frame(worker_pb2.ServerFrame(items=[worker_pb2.ServerItem(session_end=end)]))
    await stream.end()
    with pytest.raises(ApiError, match="PROTOCOL_VERSION_UNSUPPORTED: speak version 2"):
        await running


async def test_a_worker_waits_for_a_server_that_is_not_there_yet(start: StartWorker) -> None:
    async with ScriptedServer() as early:
        address = early.address
    worker = Worker(OTHERS)
    running = asyncio.create_task(worker.run(address))
    async with ScriptedServer(port=int(address.rpartition(":")[2])) as server:
        stream = await server.next_stream()
        await stream.welcome()
        worker.stop()
        await running
