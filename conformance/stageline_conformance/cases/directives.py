"""Being told to stop."""

from datetime import timedelta

from stageline.v1 import error_pb2, report_pb2, worker_pb2
from stageline_conformance.bench import SLOTS, Bench, Gate
from stageline_conformance.messages import milliseconds, stop
from stageline_conformance.registry import case
from stageline_conformance.stream import ServerStream
from stageline_conformance.violations import expect, expect_equal


async def _at_work(bench: Bench, stage_id: str = "wait") -> tuple[ServerStream, Gate, bytes]:
    """Return a stream, and a job that is worked on behind a gate."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job(stage_id, gate.input)
    await stream.offer(job)
    await gate.entered()
    return stream, gate, job.lease_token


async def _is_stopped(bench: Bench, reason: int) -> None:
    stream, _, token = await _at_work(bench)
    await stream.send(directive=stop(token, reason))  # type: ignore[arg-type]
    done = await stream.done_of(token)
    expect_equal(done.stopped, True, "stopped")
    await stream.credits_of(SLOTS)
    again = await bench.reconnected(stream)
    expect_equal(list(again.hello.held_leases), [], "held leases")


@case("R70", "R73", "R74")
async def a_cancelled_run_stops_the_work(bench: Bench) -> None:
    """STOP with RUN_ENDED: the work ends, DirectiveDone says so, the slot comes back."""
    await _is_stopped(bench, worker_pb2.STOP_REASON_RUN_ENDED)


@case("R73")
async def a_superseded_lease_stops_the_work(bench: Bench) -> None:
    """STOP with SUPERSEDED is obeyed."""
    await _is_stopped(bench, worker_pb2.STOP_REASON_SUPERSEDED)


@case("R73")
async def a_timeout_stops_the_work(bench: Bench) -> None:
    """STOP with TIMED_OUT is obeyed."""
    await _is_stopped(bench, worker_pb2.STOP_REASON_TIMED_OUT)


@case("R73")
async def a_missed_heartbeat_stops_the_work(bench: Bench) -> None:
    """STOP with HEARTBEAT_TIMED_OUT is obeyed."""
    await _is_stopped(bench, worker_pb2.STOP_REASON_HEARTBEAT_TIMED_OUT)


@case("R73")
async def a_lost_lease_stops_the_work(bench: Bench) -> None:
    """STOP with LEASE_LOST is obeyed."""
    await _is_stopped(bench, worker_pb2.STOP_REASON_LEASE_LOST)


@case("R7", "R73")
async def an_unknown_reason_stops_the_work(bench: Bench) -> None:
    """STOP with a reason that the worker does not know is obeyed."""
    await _is_stopped(bench, 99)


@case("R7", "R73")
async def an_unknown_action_is_passed_over(bench: Bench) -> None:
    """A directive whose action the worker does not know changes nothing."""
    stream, gate, token = await _at_work(bench)
    directive = stop(token)
    directive.action = 99  # type: ignore[assignment]
    number = await stream.send(directive=directive)
    await stream.acknowledged(number)
    gate.open()
    report = await stream.report(token)
    expect_equal(report.WhichOneof("outcome"), "completed", "the outcome")
    await stream.acknowledge(token)


@case("R72")
async def a_stop_for_an_unknown_lease_is_answered(bench: Bench) -> None:
    """STOP for a lease that the worker does not hold is answered with DirectiveDone."""
    stream = await bench.connected()
    await stream.send(directive=stop(b"a lease of nobody"))
    done = await stream.done_of(b"a lease of nobody")
    expect_equal(done.stopped, True, "stopped")


@case("R71")
async def code_that_cannot_be_stopped_is_cut_off(bench: Bench) -> None:
    """Code that goes on at the deadline is cut off: DirectiveDone says so, and its output is dropped."""
    stream, gate, token = await _at_work(bench, "stubborn")
    await stream.send(directive=stop(token, deadline=milliseconds(200)))
    done = await stream.done_of(token)
    expect_equal(done.stopped, False, "stopped")
    expect(stream.credits in (SLOTS, SLOTS - 1), f"free slots are {stream.credits}")
    expect_equal(await bench.output_of(stream, bench.job("echo", 1)), 1, "another output")
    gate.open()
    await stream.credits_of(SLOTS)
    expect_equal(stream.count("report", token), 0, "reports of the job")
    expect_equal(stream.count("directive_done", token), 1, "DirectiveDone items")


@case("R71")
async def code_that_stops_late_is_stopped(bench: Bench) -> None:
    """Code that ends before the deadline, though it did not heed the signal, is told as stopped."""
    stream, gate, token = await _at_work(bench, "stubborn")
    number = await stream.send(directive=stop(token, deadline=timedelta(seconds=30)))
    await stream.acknowledged(number)
    gate.open()
    expect_equal((await stream.done_of(token)).stopped, True, "stopped")
    await stream.credits_of(SLOTS)


@case("R70")
async def a_stop_harms_no_neighbour(bench: Bench) -> None:
    """Of two jobs at work, one is stopped and the other one completes."""
    stream, _, token = await _at_work(bench)
    other = bench.gate()
    job = bench.job("wait", other.input)
    await stream.offer(job)
    await other.entered()
    await stream.send(directive=stop(token))
    await stream.done_of(token)
    other.open()
    report = await stream.report(job.lease_token)
    expect_equal(report.WhichOneof("outcome"), "completed", "the outcome of the other job")
    await stream.acknowledge(job.lease_token)


@case("R70", "R72")
async def a_stop_that_crosses_the_report_is_answered(bench: Bench) -> None:
    """STOP for a job that has just been reported is answered; the report is not sent again."""
    stream = await bench.connected()
    job = bench.job("echo", 1)
    await stream.offer(job)
    await stream.report(job.lease_token)
    await stream.send(directive=stop(job.lease_token))
    expect_equal((await stream.done_of(job.lease_token)).stopped, True, "stopped")
    await stream.acknowledge(job.lease_token, report_pb2.REPORT_DISPOSITION_RUN_ENDED)
    again = await bench.reconnected(stream)
    expect_equal(list(again.hello.held_leases), [], "held leases")


@case("R70")
async def a_stop_right_behind_the_offer_is_obeyed(bench: Bench) -> None:
    """An offer and its STOP in one frame: the work ends, if it had begun at all."""
    stream = await bench.connected()
    job = bench.job("wait", bench.gate().input)
    await stream.send(offer=job, directive=stop(job.lease_token))
    await stream.done_of(job.lease_token)
    await stream.credits_of(SLOTS)


@case("R24", "R71")
async def a_directive_without_a_deadline_is_obeyed(bench: Bench) -> None:
    """STOP without deadline and message ends the work."""
    stream, _, token = await _at_work(bench)
    await stream.send(
        directive=worker_pb2.Directive(lease_token=token, action=worker_pb2.DIRECTIVE_ACTION_STOP)
    )
    expect_equal((await stream.done_of(token)).stopped, True, "stopped")


@case("R93")
async def a_superseded_item_stops_the_work(bench: Bench) -> None:
    """An ItemError with LEASE_SUPERSEDED ends the work on its lease."""
    stream, _, token = await _at_work(bench)
    error = worker_pb2.ItemError(frame_sequence=2, lease_token=token)
    error.error.reason = error_pb2.ERROR_REASON_LEASE_SUPERSEDED
    error.error.message = "told by the suite"
    await stream.send(error=error)
    await stream.credits_of(SLOTS)
    again = await bench.reconnected(stream)
    expect_equal(list(again.hello.held_leases), [], "held leases")


@case("R93")
async def another_refused_item_stops_nothing(bench: Bench) -> None:
    """An ItemError with another reason leaves the work on its lease alone."""
    stream, gate, token = await _at_work(bench)
    error = worker_pb2.ItemError(frame_sequence=2, lease_token=token)
    error.error.reason = error_pb2.ERROR_REASON_INVALID_FIELD
    error.error.message = "told by the suite"
    number = await stream.send(error=error)
    await stream.acknowledged(number)
    gate.open()
    report = await stream.report(token)
    expect_equal(report.WhichOneof("outcome"), "completed", "the outcome")
    await stream.acknowledge(token)


@case("R71", "R64")
async def a_stopped_lease_is_not_held(bench: Bench) -> None:
    """A job that was told to stop, and goes on, is not named at the next Hello."""
    stream, gate, token = await _at_work(bench, "stubborn")
    number = await stream.send(directive=stop(token, deadline=timedelta(seconds=30)))
    await stream.acknowledged(number)
    again = await bench.reconnected(stream)
    expect_equal(list(again.hello.held_leases), [], "held leases")
    expect_equal(again.credits, SLOTS - 1, "free slots")
    gate.open()
    await again.credits_of(SLOTS)
    expect_equal(again.count("report", token), 0, "reports of the job")
