"""Losing the stream, and coming back."""

from itertools import pairwise

import grpc

from stageline_conformance.bench import SLOTS, Bench, completed
from stageline_conformance.messages import ALREADY_RECORDED, DROP, KEEP, milliseconds, verdict
from stageline_conformance.registry import case
from stageline_conformance.violations import expect, expect_equal


@case("R61", "R63", "R64", "R66")
async def kept_work_goes_on(bench: Bench) -> None:
    """A job whose lease is kept goes on over the break, and is reported on the new stream."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    again = await bench.reconnected(stream)
    expect_equal(again.hello.resume_session_id, "session-1", "resume_session_id")
    held = {lease.lease_token: lease.unacknowledged_report for lease in again.hello.held_leases}
    expect_equal(held, {job.lease_token: False}, "held leases")
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    gate.open()
    completed(await again.report(job.lease_token))
    await again.acknowledge(job.lease_token)


@case("R67", "R74")
async def dropped_work_is_stopped(bench: Bench) -> None:
    """A job whose lease is dropped is stopped, its slot comes back, and nothing is reported."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    again = await bench.reconnected(stream, session_id="session-2", resumed=False)
    await again.send(held_lease_verdict=verdict(job.lease_token, DROP))
    await again.credits_of(SLOTS)
    third = await bench.reconnected(again)
    expect_equal(list(third.hello.held_leases), [], "held leases")
    expect_equal(third.hello.resume_session_id, "session-2", "resume_session_id")
    expect_equal(again.count("report"), 0, "reports")


@case("R67")
async def a_dropped_report_is_forgotten(bench: Bench) -> None:
    """A report whose lease is dropped is not sent."""
    await _without_report(bench, DROP)


@case("R68")
async def an_already_recorded_job_is_forgotten(bench: Bench) -> None:
    """A report that was committed before the break is not sent again."""
    await _without_report(bench, ALREADY_RECORDED)


async def _without_report(bench: Bench, said: int) -> None:
    stream = await bench.connected()
    job = bench.job("echo", 1)
    await stream.offer(job)
    await stream.report(job.lease_token)
    again = await bench.reconnected(stream)
    await again.send(held_lease_verdict=verdict(job.lease_token, said))  # type: ignore[arg-type]
    expect_equal(await bench.output_of(again, bench.job("echo", 2)), 2, "the next output")
    third = await bench.reconnected(again)
    expect_equal(list(third.hello.held_leases), [], "held leases")
    expect_equal(again.count("report", job.lease_token), 0, "reports of the job on the second stream")


@case("R65")
async def nothing_is_reported_before_the_verdict(bench: Bench) -> None:
    """A report waits for the verdict on its lease, while others are sent."""
    stream = await bench.connected()
    job = bench.job("echo", 1)
    await stream.offer(job)
    await stream.report(job.lease_token)
    again = await bench.reconnected(stream)
    expect_equal(await bench.output_of(again, bench.job("echo", 2)), 2, "the output of another job")
    expect_equal(again.count("report", job.lease_token), 0, "reports before the verdict")
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    await again.report(job.lease_token)
    await again.acknowledge(job.lease_token)


@case("R7", "R66")
async def an_unknown_verdict_means_keep(bench: Bench) -> None:
    """A verdict that the worker does not know is taken for KEEP."""
    stream = await bench.connected()
    job = bench.job("echo", 1)
    await stream.offer(job)
    await stream.report(job.lease_token)
    again = await bench.reconnected(stream)
    await again.send(held_lease_verdict=verdict(job.lease_token, 99))  # type: ignore[arg-type]
    await again.report(job.lease_token)
    await again.acknowledge(job.lease_token)


@case("R64", "R66", "R67", "R68")
async def each_lease_has_its_own_verdict(bench: Bench) -> None:
    """Of four leases one is kept at work, one is dropped, one report is sent, one was recorded before."""
    stream = await bench.connected()
    gates = [bench.gate(), bench.gate()]
    at_work = [bench.job("wait", gate.input) for gate in gates]
    done = [bench.job("echo", index) for index in range(2)]
    await stream.offer(*at_work, *done)
    for gate in gates:
        await gate.entered()
    for job in done:
        await stream.report(job.lease_token)
    again = await bench.reconnected(stream)
    held = {lease.lease_token: lease.unacknowledged_report for lease in again.hello.held_leases}
    expected = {job.lease_token: job in done for job in (*at_work, *done)}
    expect_equal(held, expected, "held leases")
    said = zip((*at_work, *done), (KEEP, DROP, KEEP, ALREADY_RECORDED), strict=True)
    await again.send(held_lease_verdict=[verdict(job.lease_token, value) for job, value in said])
    await again.report(done[0].lease_token)
    await again.acknowledge(done[0].lease_token)
    gates[0].open()
    completed(await again.report(at_work[0].lease_token))
    await again.acknowledge(at_work[0].lease_token)
    await again.credits_of(SLOTS)
    reported = sorted(item.report.lease_token for item in again.items() if item.HasField("report"))
    expect_equal(reported, sorted([done[0].lease_token, at_work[0].lease_token]), "what was reported")


@case("R64", "R66")
async def work_that_ends_without_a_stream_is_reported(bench: Bench) -> None:
    """A job that ends while the server is away is reported when it is back."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    await bench.server.stop()
    gate.open()
    await bench.pause(milliseconds(150))
    await bench.server.start()
    again = await bench.connected(resumed=True)
    held = {lease.lease_token: lease.unacknowledged_report for lease in again.hello.held_leases}
    expect_equal(held, {job.lease_token: True}, "held leases")
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    completed(await again.report(job.lease_token))
    await again.acknowledge(job.lease_token)


@case("R1", "R61", "R88")
async def a_restarted_server_is_registered_with_anew(bench: Bench) -> None:
    """After a restart of the server the worker registers, says Hello, and works on."""
    stream = await bench.connected()
    before = len(bench.server.registered)
    await bench.server.stop()
    await bench.server.start()
    again = await bench.connected(session_id="session-2")
    expect(len(bench.server.registered) > before, "the workflow was not registered again")
    expect_equal(again.hello.resume_session_id, "session-1", "resume_session_id")
    expect_equal(await bench.output_of(again, bench.job("echo", 1)), 1, "the output")
    expect(stream.is_over, "the first stream is still open")


@case("R69")
async def a_new_session_keeps_old_leases(bench: Bench) -> None:
    """When the server does not know the session any more, its verdicts hold all the same."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    again = await bench.reconnected(stream, session_id="session-2", resumed=False)
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    gate.open()
    completed(await again.report(job.lease_token))
    await again.acknowledge(job.lease_token)
    third = await bench.reconnected(again)
    expect_equal(third.hello.resume_session_id, "session-2", "resume_session_id")


@case("R61", "R88")
async def streams_that_break_at_once_are_tried_again(bench: Bench) -> None:
    """A worker whose streams break before Welcome, three times, goes on trying."""
    stream = await bench.opened()
    for _ in range(3):
        stream = await bench.broken(stream)
    await stream.welcome()
    expect_equal(await bench.output_of(stream, bench.job("echo", 1)), 1, "the output")


@case("R62")
async def tries_are_spaced(bench: Bench) -> None:
    """Waits between tries grow and vary: a server that refuses all is not stormed."""
    stream = await bench.connected()
    tries = bench.refuse_streams()
    await stream.end(grpc.StatusCode.UNAVAILABLE, "broken by the suite")
    await bench.until(lambda: len(tries) >= 5, "five tries")
    waits = [late - early for early, late in pairwise(tries)]
    expect(max(waits[:4]) < 8, f"a wait of {max(waits[:4]):.1f} s is longer than the backoff's bound")
    expect(sum(waits[:4]) > 0.1, f"five tries within {sum(waits[:4]):.3f} s")
    spread = max(waits[:4]) - min(waits[:4])
    expect(spread > 0.005, f"the waits are all alike: {', '.join(f'{wait:.3f}' for wait in waits[:4])}")
    bench.server.refuse_work = lambda: None
    await bench.connected()


@case("R62", "R64")
async def tries_are_frequent_while_leases_are_held(bench: Bench) -> None:
    """While a lease is held, the worker is back within the session timeout, however often it was refused."""
    stream = await bench.connected(session_timeout=milliseconds(5000))
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    tries = bench.refuse_streams()
    await stream.end(grpc.StatusCode.UNAVAILABLE, "broken by the suite")
    await bench.until(lambda: len(tries) >= 6, "six tries", milliseconds(10_000))
    waits = [late - early for early, late in pairwise(tries)]
    expect(max(waits) < 2.5, f"a wait of {max(waits):.1f} s, with leases that end after 5 s")
    bench.server.refuse_work = lambda: None
    again = await bench.opened()
    await again.welcome(resumed=True)
    await again.send(held_lease_verdict=verdict(job.lease_token, DROP))
    await again.credits_of(SLOTS)
