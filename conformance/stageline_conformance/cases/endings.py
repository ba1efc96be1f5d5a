"""How streams end, and what follows."""

import grpc

from stageline.v1 import report_pb2, session_pb2
from stageline_conformance.bench import SLOTS, Bench, completed
from stageline_conformance.messages import KEEP, ending, milliseconds, verdict
from stageline_conformance.registry import case
from stageline_conformance.violations import expect, expect_equal


@case("R85", "R63")
async def an_aged_stream_is_taken_up_again(bench: Bench) -> None:
    """SessionEnd with STREAM_AGE and `reconnect`: the worker resumes."""
    stream = await bench.connected()
    await stream.send(session_end=ending())
    await stream.end()
    again = await bench.connected(resumed=True)
    expect_equal(again.hello.resume_session_id, "session-1", "resume_session_id")


@case("R85", "R24")
async def reconnect_after_is_kept(bench: Bench) -> None:
    """The worker is back no sooner than SessionEnd says."""
    stream = await bench.connected()
    await stream.send(session_end=ending(reconnect_after=milliseconds(600)))
    await stream.end()
    left_at = bench.now()
    again = await bench.connected(resumed=True)
    waited = again.opened_at - left_at
    expect(waited > 0.4, f"the worker was back after {waited:.2f} s")


@case("R85", "R61")
async def a_server_that_shuts_down_is_found_again(bench: Bench) -> None:
    """SERVER_SHUTDOWN ends a stream with a job at work: the worker resumes, and reports."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    await stream.send(session_end=ending(session_pb2.DISCONNECT_REASON_SERVER_SHUTDOWN))
    await stream.end(grpc.StatusCode.UNAVAILABLE, "the server shuts down")
    again = await bench.connected(resumed=True)
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    gate.open()
    completed(await again.report(job.lease_token))
    await again.acknowledge(job.lease_token)


@case("R86")
async def a_superseded_session_is_not_fought_over(bench: Bench) -> None:
    """SUPERSEDED: the worker stops its work, forgets its reports, and begins a new session."""
    stream = await bench.connected()
    gate = bench.gate()
    at_work, done = bench.job("wait", gate.input), bench.job("echo", 1)
    await stream.offer(at_work, done)
    await gate.entered()
    await stream.report(done.lease_token)
    await stream.send(session_end=ending(session_pb2.DISCONNECT_REASON_SUPERSEDED, reconnect=False))
    await stream.end(grpc.StatusCode.ABORTED, "the session goes on with a newer stream")
    again = await bench.opened()
    expect_equal(again.hello.resume_session_id, "", "resume_session_id")
    expect_equal(list(again.hello.held_leases), [], "held leases")
    await again.welcome(session_id="session-2")
    await again.credits_of(SLOTS)
    expect_equal(again.count("report"), 0, "reports")


@case("R85", "R22")
async def a_timed_out_session_is_resumed(bench: Bench) -> None:
    """TIMED_OUT with `reconnect`: the worker names its leases at a new Hello, and obeys the verdicts."""
    stream = await bench.connected()
    job = bench.job("echo", 1)
    await stream.offer(job)
    await stream.report(job.lease_token)
    await stream.send(session_end=ending(session_pb2.DISCONNECT_REASON_TIMED_OUT))
    await stream.end(grpc.StatusCode.DEADLINE_EXCEEDED, "nothing was heard")
    again = await bench.opened()
    expect_equal([lease.lease_token for lease in again.hello.held_leases], [job.lease_token], "held leases")
    await again.welcome(session_id="session-2")
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    await again.report(job.lease_token)
    await again.acknowledge(job.lease_token, report_pb2.REPORT_DISPOSITION_SUPERSEDED)


@case("R88")
async def a_stream_that_ends_without_a_word_is_taken_up_again(bench: Bench) -> None:
    """A stream that ends with OK and no SessionEnd: the worker resumes."""
    stream = await bench.connected()
    await stream.end()
    again = await bench.connected(resumed=True)
    expect_equal(again.hello.resume_session_id, "session-1", "resume_session_id")


@case("R88")
async def an_internal_error_is_tried_again(bench: Bench) -> None:
    """A stream that ends with INTERNAL: the worker resumes."""
    stream = await bench.connected()
    await stream.end(grpc.StatusCode.INTERNAL, "a fault of the server")
    again = await bench.connected(resumed=True)
    expect_equal(again.hello.resume_session_id, "session-1", "resume_session_id")


@case("R7", "R85")
async def an_unknown_reason_to_end_is_obeyed(bench: Bench) -> None:
    """A SessionEnd with a reason that the worker does not know goes by `reconnect`."""
    stream = await bench.connected()
    await stream.send(session_end=ending(99))  # type: ignore[arg-type]
    await stream.end()
    await bench.connected(resumed=True)


@case("R87", fresh=True)
async def a_session_that_ends_for_good_ends_the_worker(bench: Bench) -> None:
    """HELLO_REFUSED without `reconnect`: the worker ends, with an exit code that is not 0."""
    stream = await bench.opened()
    await stream.send(session_end=ending(session_pb2.DISCONNECT_REASON_HELLO_REFUSED, reconnect=False))
    await stream.end(grpc.StatusCode.INVALID_ARGUMENT, "told by the suite")
    expect(await bench.worker.ended() != 0, "the worker ended with code 0")


@case("R87", fresh=True)
async def a_revoked_token_ends_the_worker(bench: Bench) -> None:
    """A stream that ends as UNAUTHENTICATED in the midst of it: the worker ends, with an exit code that is not 0."""
    stream = await bench.connected()
    await stream.send(session_end=ending(session_pb2.DISCONNECT_REASON_UNAUTHENTICATED, reconnect=False))
    await stream.end(grpc.StatusCode.UNAUTHENTICATED, "the token was taken back")
    expect(await bench.worker.ended() != 0, "the worker ended with code 0")
