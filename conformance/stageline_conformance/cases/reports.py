"""Reports and their acknowledgements."""

from stageline.v1 import error_pb2, report_pb2
from stageline_conformance.bench import SLOTS, Bench, completed
from stageline_conformance.messages import KEEP, acknowledgement, verdict
from stageline_conformance.registry import case
from stageline_conformance.violations import expect_equal


async def _is_forgotten(
    bench: Bench, disposition: "report_pb2.ReportDisposition.ValueType", *, with_error: bool = False
) -> None:
    stream = await bench.connected()
    job = bench.job("echo", 1)
    await stream.offer(job)
    await stream.report(job.lease_token)
    answer = acknowledgement(job.lease_token, disposition)
    if with_error:
        answer.error.reason = error_pb2.ERROR_REASON_INVALID_OUTPUT
        answer.error.message = "told by the suite"
        answer.error.violations.add(field="output.text", description="is missing")
    number = await stream.send(report_acknowledgement=answer)
    await stream.send()
    expect_equal(await bench.output_of(stream, bench.job("echo", 2)), 2, "the next output")
    await stream.acknowledged(number)
    again = await bench.reconnected(stream)
    expect_equal(list(again.hello.held_leases), [], "held leases")
    expect_equal(stream.count("report", job.lease_token), 1, "reports of the job")


@case("R52")
async def a_recorded_report_is_forgotten(bench: Bench) -> None:
    """After RECORDED, nothing is held and nothing comes again."""
    await _is_forgotten(bench, report_pb2.REPORT_DISPOSITION_RECORDED)


@case("R52")
async def an_already_recorded_report_is_forgotten(bench: Bench) -> None:
    """After ALREADY_RECORDED, nothing is held and nothing comes again."""
    await _is_forgotten(bench, report_pb2.REPORT_DISPOSITION_ALREADY_RECORDED)


@case("R52")
async def a_superseded_report_is_forgotten(bench: Bench) -> None:
    """After SUPERSEDED, nothing is held and nothing comes again."""
    await _is_forgotten(bench, report_pb2.REPORT_DISPOSITION_SUPERSEDED)


@case("R52")
async def a_report_for_an_ended_run_is_forgotten(bench: Bench) -> None:
    """After RUN_ENDED, nothing is held and nothing comes again."""
    await _is_forgotten(bench, report_pb2.REPORT_DISPOSITION_RUN_ENDED)


@case("R52")
async def a_refused_report_is_forgotten(bench: Bench) -> None:
    """After REFUSED, nothing is held and nothing comes again: the attempt has failed."""
    await _is_forgotten(bench, report_pb2.REPORT_DISPOSITION_REFUSED, with_error=True)


@case("R7", "R52")
async def an_unknown_disposition_ends_a_report(bench: Bench) -> None:
    """After a disposition that the worker does not know, nothing is held and nothing comes again."""
    disposition: report_pb2.ReportDisposition.ValueType = 99  # type: ignore[assignment]
    await _is_forgotten(bench, disposition)


@case("R52", "R53")
async def an_acknowledgement_twice_harms_nothing(bench: Bench) -> None:
    """A second acknowledgement of the same report is passed over."""
    stream = await bench.connected()
    job = bench.job("echo", 1)
    await bench.do(stream, job)
    await stream.acknowledge(job.lease_token)
    expect_equal(await bench.output_of(stream, bench.job("echo", 2)), 2, "the next output")


@case("R51")
async def a_report_waits_on_its_stream(bench: Bench) -> None:
    """A report that is not acknowledged is not sent again on the same stream, and takes no slot."""
    stream = await bench.connected()
    late = bench.job("echo", "late")
    await stream.offer(late)
    await stream.report(late.lease_token)
    await stream.credits_of(SLOTS)
    for index in range(5):
        expect_equal(await bench.output_of(stream, bench.job("echo", index)), index, "another output")
    expect_equal(stream.count("report", late.lease_token), 1, "reports of the job")
    await stream.acknowledge(late.lease_token)


@case("R51", "R64", "R66")
async def a_lost_acknowledgement_brings_the_report_again(bench: Bench) -> None:
    """A report whose acknowledgement was lost with its stream is named at Hello and sent again, the same."""
    stream = await bench.connected()
    job = bench.job("echo", {"n": 1})
    await stream.offer(job)
    first = await stream.report(job.lease_token)
    again = await bench.reconnected(stream)
    held = {lease.lease_token: lease.unacknowledged_report for lease in again.hello.held_leases}
    expect_equal(held, {job.lease_token: True}, "held leases")
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    second = await again.report(job.lease_token)
    expect_equal(
        second.SerializeToString(deterministic=True),
        first.SerializeToString(deterministic=True),
        "the report",
    )
    await again.acknowledge(job.lease_token)
    third = await bench.reconnected(again)
    expect_equal(list(third.hello.held_leases), [], "held leases after the acknowledgement")


@case("R51")
async def acknowledgements_lost_again_and_again(bench: Bench) -> None:
    """A report survives three lost acknowledgements, and is sent once on each stream."""
    stream = await bench.connected()
    job = bench.job("echo", "kept")
    await stream.offer(job)
    await stream.report(job.lease_token)
    for _ in range(3):
        stream = await bench.reconnected(stream)
        await stream.send(held_lease_verdict=verdict(job.lease_token, KEEP))
        expect_equal(completed(await stream.report(job.lease_token)), "kept", "the output")
        expect_equal(stream.count("report", job.lease_token), 1, "reports on one stream")
    await stream.acknowledge(job.lease_token)
