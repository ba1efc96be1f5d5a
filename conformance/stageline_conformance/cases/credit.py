"""Slots and credits."""

from stageline.v1 import report_pb2
from stageline_conformance.bench import SLOTS, Bench, expect_returned
from stageline_conformance.messages import KEEP, verdict
from stageline_conformance.registry import case
from stageline_conformance.violations import expect_equal


@case("R31", "R32")
async def a_slot_comes_back_with_the_report(bench: Bench) -> None:
    """When a job has ended its slot is free, before the report is acknowledged."""
    stream = await bench.connected()
    job = bench.job("echo", 1)
    await stream.offer(job)
    await stream.report(job.lease_token)
    await stream.credits_of(SLOTS)
    await stream.acknowledge(job.lease_token)


@case("R30", "R32")
async def credits_tell_what_is_left(bench: Bench) -> None:
    """With three of four slots at work, the next Credits say what is free."""
    stream = await bench.connected()
    gates = [bench.gate() for _ in range(3)]
    jobs = [bench.job("wait", gate.input) for gate in gates]
    await stream.offer(*jobs)
    quick = bench.job("echo", 1)
    await stream.offer(quick)
    await stream.report(quick.lease_token)
    await stream.acknowledge(quick.lease_token)
    await stream.credits_of(1)
    for gate, job in zip(gates, jobs, strict=True):
        gate.open()
        await stream.report(job.lease_token)
        await stream.acknowledge(job.lease_token)
    await stream.credits_of(SLOTS)


@case("R33")
async def an_offer_too_many_is_handed_back(bench: Bench) -> None:
    """Of one offer more than there are slots, one is Returned with NO_FREE_SLOT, and the others are done."""
    stream = await bench.connected()
    gates = [bench.gate() for _ in range(SLOTS)]
    jobs = [bench.job("wait", gate.input) for gate in gates]
    await stream.offer(*jobs)
    extra = bench.job("echo", 1)
    await stream.offer(extra)
    report = await stream.report(extra.lease_token)
    expect_returned(report, report_pb2.RETURN_REASON_NO_FREE_SLOT)
    await stream.acknowledge(extra.lease_token)
    for gate, job in zip(gates, jobs, strict=True):
        gate.open()
        report = await stream.report(job.lease_token)
        expect_equal(report.WhichOneof("outcome"), "completed", "the outcome of a job that had a slot")
        await stream.acknowledge(job.lease_token)


@case("R34")
async def an_offer_that_is_held_is_passed_over(bench: Bench) -> None:
    """An offer whose lease is held already is done once, and reported once."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    number = await stream.offer(job)
    await stream.acknowledged(number)
    gate.open()
    report = await stream.report(job.lease_token)
    expect_equal(report.WhichOneof("outcome"), "completed", "the outcome")
    await stream.acknowledge(job.lease_token)
    await stream.credits_of(SLOTS)
    expect_equal(stream.count("report", job.lease_token), 1, "reports of the job")


@case("R31", "R64")
async def a_resuming_hello_counts_what_is_at_work(bench: Bench) -> None:
    """The Credits beside a resuming Hello are the slots less the jobs that are worked on."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    again = await bench.reconnected(stream)
    expect_equal(again.credits, SLOTS - 1, "free slots")
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    gate.open()
    await again.report(job.lease_token)
    await again.acknowledge(job.lease_token)
    await again.credits_of(SLOTS)


@case("R30", "R33")
async def many_jobs_pass_through_few_slots(bench: Bench) -> None:
    """Two hundred jobs, offered as credits allow, are each reported once."""
    stream = await bench.connected()
    waiting = [bench.job("echo", index) for index in range(200)]
    tokens = [job.lease_token for job in waiting]
    offered: list[bytes] = []
    while waiting:
        batch, waiting = waiting[:SLOTS], waiting[SLOTS:]
        await stream.offer(*batch)
        for job in batch:
            offered.append(job.lease_token)
            await stream.report(job.lease_token)
            await stream.acknowledge(job.lease_token)
    expect_equal(offered, tokens, "the jobs")
    expect_equal(stream.count("report"), len(tokens), "reports in all")
    await stream.credits_of(SLOTS)
