"""Ending in peace, both ways."""

from stageline.v1 import report_pb2, session_pb2
from stageline_conformance.bench import SLOTS, Bench, completed, expect_returned
from stageline_conformance.messages import KEEP, duration, ending, milliseconds, verdict
from stageline_conformance.registry import case
from stageline_conformance.stream import ServerStream
from stageline_conformance.violations import expect, expect_equal

DRAINED = session_pb2.DISCONNECT_REASON_DRAINED


async def _is_closed(bench: Bench, stream: ServerStream) -> None:
    """Wait until the worker closes its side, end the stream as a server does, and wait for exit code 0."""
    await stream.until(lambda: stream.closed_by_worker, "the worker's closing of its side")
    await stream.send(session_end=ending(DRAINED, reconnect=False))
    await stream.end()
    expect_equal(await bench.worker.ended(), 0, "the exit code")


@case("R80", "R82")
async def an_idle_worker_ends_at_once(bench: Bench) -> None:
    """SIGTERM to a worker without jobs: Drain, the end of its side, exit code 0."""
    stream = await bench.connected()
    await bench.output_of(stream, bench.job("echo", "Welcome has come"))
    bench.worker.terminate()
    drain = await stream.next("drain")
    expect(drain.HasField("deadline"), "Drain has no deadline")
    expect_equal(stream.credits, 0, "free slots")
    await _is_closed(bench, stream)


@case("R80", "R81", "R82")
async def a_draining_worker_finishes_what_it_holds(bench: Bench) -> None:
    """SIGTERM to a worker with a job: the job completes and is reported, then the worker ends."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    bench.worker.terminate()
    await stream.next("drain")
    gate.open()
    completed(await stream.report(job.lease_token))
    expect(not stream.closed_by_worker, "the worker closed its side before the report was acknowledged")
    await stream.acknowledge(job.lease_token)
    await _is_closed(bench, stream)
    expect_equal(stream.credits, 0, "free slots at the end")


@case("R80")
async def offers_that_cross_a_drain_are_handed_back(bench: Bench) -> None:
    """An offer to a worker that drains is Returned with DRAINING, not started."""
    stream = await bench.connected()
    gate = bench.gate()
    held = bench.job("wait", gate.input)
    await stream.offer(held)
    await gate.entered()
    bench.worker.terminate()
    await stream.next("drain")
    late = bench.job("echo", 1)
    await stream.offer(late)
    report = await stream.report(late.lease_token)
    expect_returned(report, report_pb2.RETURN_REASON_DRAINING)
    expect_equal(report.returned.started, False, "started")
    await stream.acknowledge(late.lease_token)
    gate.open()
    await stream.report(held.lease_token)
    await stream.acknowledge(held.lease_token)
    await _is_closed(bench, stream)


@case("R81")
async def a_drain_has_an_end(bench: Bench) -> None:
    """A job that does not end in the drain's time is stopped and Returned with DRAINING, started."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    bench.worker.terminate()
    report = await stream.report(job.lease_token)
    expect_returned(report, report_pb2.RETURN_REASON_DRAINING)
    expect_equal(report.returned.started, True, "started")
    await stream.acknowledge(job.lease_token)
    await _is_closed(bench, stream)


@case("R81")
async def a_drain_cuts_off_what_cannot_be_stopped(bench: Bench) -> None:
    """A job that cannot be stopped is Returned all the same, and the worker ends."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("stubborn", gate.input)
    await stream.offer(job)
    await gate.entered()
    bench.worker.terminate()
    report = await stream.report(job.lease_token)
    expect_returned(report, report_pb2.RETURN_REASON_DRAINING)
    expect_equal(report.returned.started, True, "started")
    await stream.acknowledge(job.lease_token)
    await _is_closed(bench, stream)


@case("R82", "R61")
async def a_drain_outlives_its_stream(bench: Bench) -> None:
    """A worker that drains and loses its stream connects again to deliver its report."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    bench.worker.terminate()
    await stream.next("drain")
    again = await bench.broken(stream)
    expect_equal(again.credits, 0, "free slots")
    await again.welcome(resumed=True)
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    gate.open()
    completed(await again.report(job.lease_token))
    await again.acknowledge(job.lease_token)
    await _is_closed(bench, again)


@case("R82", "R88", fresh=True)
async def a_worker_without_a_server_can_end(bench: Bench) -> None:
    """SIGTERM to a worker that has no connection and no jobs: exit code 0, soon."""
    stream = await bench.connected()
    await bench.server.stop()
    await stream.over()
    bench.worker.terminate()
    code = await bench.worker.ended()
    await bench.server.start()
    expect_equal(code, 0, "the exit code")


@case("R83")
async def an_idle_worker_leaves_a_draining_server(bench: Bench) -> None:
    """A worker without jobs leaves a server that drains, and connects again."""
    stream = await bench.connected()
    await stream.send(drain=session_pb2.Drain(reason="told by the suite"))
    again = await bench.connected(resumed=True)
    expect_equal(again.hello.resume_session_id, "session-1", "resume_session_id")
    expect_equal(again.credits, SLOTS, "free slots")


@case("R83")
async def a_worker_finishes_before_it_leaves(bench: Bench) -> None:
    """A worker with a job finishes it on the stream of the server that drains, then connects again."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    number = await stream.send(drain=session_pb2.Drain(deadline=duration(milliseconds(60_000))))
    await stream.acknowledged(number)
    gate.open()
    completed(await stream.report(job.lease_token))
    expect_equal(bench.server.streams_waiting, 0, "new streams while the report is not acknowledged")
    await stream.acknowledge(job.lease_token)
    again = await bench.connected(resumed=True)
    expect_equal(list(again.hello.held_leases), [], "held leases")


@case("R84")
async def a_servers_drain_has_an_end(bench: Bench) -> None:
    """When the deadline of the server's Drain has passed, the worker leaves with what it holds, and resumes."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    await stream.send(drain=session_pb2.Drain(deadline=duration(milliseconds(200))))
    again = await bench.connected(resumed=True)
    expect_equal([lease.lease_token for lease in again.hello.held_leases], [job.lease_token], "held leases")
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    gate.open()
    completed(await again.report(job.lease_token))
    await again.acknowledge(job.lease_token)


@case("R83", "R24")
async def a_server_may_ask_for_a_pause(bench: Bench) -> None:
    """A worker connects again no sooner than the Drain's reconnect_after says."""
    stream = await bench.connected()
    drain = session_pb2.Drain(reconnect_after=duration(milliseconds(500)))
    number = await stream.send(drain=drain)
    await stream.over()
    left_at = bench.now()
    again = await bench.connected(resumed=True)
    waited = again.opened_at - left_at
    expect(waited > 0.3, f"the worker was back after {waited:.2f} s")
    expect(number > 0, "no frame")


@case("R83")
async def a_server_may_name_another(bench: Bench) -> None:
    """A worker that is given another address connects there."""
    stream = await bench.connected()
    async with bench.another_server() as other:
        await stream.send(drain=session_pb2.Drain(reconnect_address=other.address))
        moved = await other.next_stream()
        expect_equal(moved.hello.resume_session_id, "session-1", "resume_session_id")
        await moved.welcome(resumed=True)
        job = bench.job("echo", "elsewhere")
        await moved.offer(job)
        expect_equal(completed(await moved.report(job.lease_token)), "elsewhere", "the output")
        await moved.acknowledge(job.lease_token)
        await moved.send(drain=session_pb2.Drain(reconnect_address=bench.server.address))
        await bench.connected(resumed=True)
