"""Signs of life, silence, and clocks."""

from google.protobuf.timestamp_pb2 import Timestamp

from stageline_conformance.bench import Bench
from stageline_conformance.messages import KEEP, milliseconds, verdict
from stageline_conformance.registry import case
from stageline_conformance.violations import expect, expect_equal

INTERVAL = milliseconds(200)
TIMEOUT = milliseconds(600)


@case("R20")
async def an_idle_worker_sends_heartbeats(bench: Bench) -> None:
    """A worker with nothing to say sends a frame in each interval."""
    stream = await bench.connected(heartbeat_interval=INTERVAL)
    await stream.until(
        lambda: len(stream.frames) >= 6, "six frames at an interval of 200 ms", milliseconds(4000)
    )
    longest = max(late - early for early, late in zip(stream.arrivals[1:], stream.arrivals[2:], strict=False))
    expect(longest < 3 * INTERVAL.total_seconds(), f"{longest:.2f} s passed between two frames")


@case("R20", "R25")
async def a_busy_worker_sends_heartbeats(bench: Bench) -> None:
    """A worker all of whose slots are at work sends a frame in each interval."""
    stream = await bench.connected(heartbeat_interval=INTERVAL)
    gates = [bench.gate() for _ in range(4)]
    jobs = [bench.job("stubborn" if index else "wait", gate.input) for index, gate in enumerate(gates)]
    await stream.offer(*jobs)
    for gate in gates:
        await gate.entered()
    seen = len(stream.frames)
    await stream.until(lambda: len(stream.frames) >= seen + 4, "four heartbeats", milliseconds(4000))
    for gate in gates:
        gate.open()
    for job in jobs:
        await stream.report(job.lease_token)
        await stream.acknowledge(job.lease_token)


@case("R21", "R63")
async def a_silent_server_is_left(bench: Bench) -> None:
    """A worker that hears nothing for the session timeout connects again, and resumes."""
    stream = await bench.connected(heartbeat_interval=INTERVAL, session_timeout=TIMEOUT, silent=True)
    await stream.over()
    again = await bench.connected(resumed=True)
    expect(again.opened_at - stream.opened_at >= TIMEOUT.total_seconds(), "the stream was left too early")
    expect_equal(again.hello.resume_session_id, "session-1", "resume_session_id")


@case("R13", "R21")
async def pings_keep_a_stream_alive(bench: Bench) -> None:
    """A worker that hears pings stays, far longer than the session timeout."""
    stream = await bench.connected(heartbeat_interval=INTERVAL, session_timeout=milliseconds(1000))
    await bench.pause(milliseconds(2000))
    expect(not stream.is_over, "the worker left a stream that was alive")
    expect_equal(await bench.output_of(stream, bench.job("echo", 1)), 1, "the output")


@case("R22", "R61")
async def silence_stops_the_work(bench: Bench) -> None:
    """A worker that hears nothing for the session timeout stops its work; another worker has it by then."""
    stream = await bench.connected(heartbeat_interval=INTERVAL, session_timeout=TIMEOUT, silent=True)
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    await stream.over()
    again = await bench.opened()
    await again.welcome(session_id="session-2")
    held = [lease.lease_token for lease in again.hello.held_leases]
    if held:
        await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
        report = await again.report(job.lease_token)
        expect(report.WhichOneof("outcome") != "completed", "the work went on, though its lease was lost")
        await again.acknowledge(job.lease_token)
    await again.credits_of(4)


@case("R22", "R61")
async def a_short_silence_stops_nothing(bench: Bench) -> None:
    """A stream that breaks and is taken up again within the session timeout costs no work."""
    stream = await bench.connected(heartbeat_interval=INTERVAL, session_timeout=milliseconds(10_000))
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    again = await bench.reconnected(stream)
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    gate.open()
    report = await again.report(job.lease_token)
    expect_equal(report.WhichOneof("outcome"), "completed", "the outcome")
    await again.acknowledge(job.lease_token)


@case("R24")
async def a_server_in_the_past_harms_nothing(bench: Bench) -> None:
    """A server whose clock is ten years behind is worked with as any other."""
    await _with_clock_at(bench, 1_448_150_400)


@case("R24")
async def a_server_in_the_future_harms_nothing(bench: Bench) -> None:
    """A server whose clock is decades ahead is worked with as any other."""
    await _with_clock_at(bench, 3_500_000_000)


async def _with_clock_at(bench: Bench, seconds: int) -> None:
    stream = await bench.connected(server_time=Timestamp(seconds=seconds), heartbeat_interval=INTERVAL)
    job = bench.job("describe", {}, start_to_close={"seconds": 60})
    described = await bench.output_of(stream, job)
    expect_equal(described["has_deadline"], True, "whether the stage has a deadline")
    expect_equal(described["is_past_deadline"], False, "whether the deadline has passed")
