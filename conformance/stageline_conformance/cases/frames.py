"""Numbers of frames, what is acknowledged, and what a worker does not know."""

from stageline.v1 import report_pb2, worker_pb2
from stageline_conformance.bench import Bench
from stageline_conformance.messages import KEEP, LIMITS, milliseconds, verdict
from stageline_conformance.registry import case
from stageline_conformance.violations import expect, expect_equal

UNKNOWN_ITEM = bytes.fromhex("ba3e00")
"""Field 999 of a ServerItem: an empty message that no worker knows."""


@case("R11", "R61")
async def a_frame_twice_breaks_the_framing(bench: Bench) -> None:
    """A frame with the number of the one before is not dealt with; the worker connects again and resumes."""
    stream = await bench.connected()
    await stream.send()
    job = bench.job("echo", 1)
    item = worker_pb2.ServerItem(offer=job)
    await stream.send_frame(worker_pb2.ServerFrame(sequence=stream.sent, items=[item]))
    await stream.over()
    again = await bench.connected(resumed=True)
    expect_equal(again.hello.resume_session_id, "session-1", "resume_session_id")
    expect_equal(len(again.hello.held_leases), 0, "leases of the frame that broke the framing")


@case("R11", "R61")
async def a_gap_breaks_the_framing(bench: Bench) -> None:
    """A frame that does not follow ends the stream; the worker connects again and resumes."""
    stream = await bench.connected()
    await stream.send_frame(worker_pb2.ServerFrame(sequence=stream.sent + 5))
    await stream.over()
    again = await bench.connected(resumed=True)
    expect_equal(again.hello.resume_session_id, "session-1", "resume_session_id")


@case("R12", "R40")
async def a_frame_with_an_offer_is_acknowledged(bench: Bench) -> None:
    """The acknowledgement of an offer does not wait for the job's end, nor for the heartbeat."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    number = await stream.offer(job)
    await stream.acknowledged(number)
    expect_equal(stream.count("report"), 0, "reports before the stage has ended")
    gate.open()
    await stream.report(job.lease_token)
    await stream.acknowledge(job.lease_token)


@case("R12")
async def acknowledgements_follow_many_frames(bench: Bench) -> None:
    """Of many frames in a row the last is acknowledged, and none is skipped or taken back."""
    stream = await bench.connected()
    jobs = [bench.job("echo", index) for index in range(40)]
    for job in jobs:
        await stream.offer(job)
        await stream.report(job.lease_token)
        await stream.acknowledge(job.lease_token)
    number = await stream.offer(last := bench.job("echo", "last"))
    await stream.acknowledged(number)
    await stream.report(last.lease_token)
    await stream.acknowledge(last.lease_token)


@case("R10")
async def numbers_start_anew_with_each_stream(bench: Bench) -> None:
    """After a reconnect the first frame is number 1 again, and acknowledges nothing."""
    stream = await bench.connected()
    await stream.send()
    again = await bench.reconnected(stream)
    expect_equal(again.frames[0].sequence, 1, "the number of the first frame")
    expect_equal(again.frames[0].acknowledged_sequence, 0, "what it acknowledges")


@case("R13")
async def pings_are_just_signs_of_life(bench: Bench) -> None:
    """Frames without items are numbered and acknowledged, and nothing else."""
    stream = await bench.connected(heartbeat_interval=milliseconds(100))
    for _ in range(20):
        await stream.send()
    await stream.acknowledged(stream.sent)
    expect_equal(await bench.output_of(stream, bench.job("echo", 1)), 1, "the output")


@case("R14")
async def frames_keep_to_few_items(bench: Bench) -> None:
    """With two items a frame, everything is still said."""
    limits = type(LIMITS)()
    limits.CopyFrom(LIMITS)
    limits.frame_items_max = 2
    stream = await bench.connected(limits=limits)
    jobs = [bench.job("speak", {"lines": 3, "message": "line"}) for _ in range(4)]
    await stream.offer(*jobs)
    for job in jobs:
        await stream.report(job.lease_token)
        await stream.acknowledge(job.lease_token)


@case("R14")
async def frames_keep_to_few_bytes(bench: Bench) -> None:
    """With 64 KiB a frame, four reports of 30 KiB travel in several."""
    limits = type(LIMITS)()
    limits.CopyFrom(LIMITS)
    limits.frame_bytes_max, limits.inline_payload_bytes_max = 65_536, 40_000
    stream = await bench.connected(limits=limits)
    jobs = [bench.job("big", {"bytes": 30_000}) for _ in range(4)]
    await stream.offer(*jobs)
    for job in jobs:
        report = await stream.report(job.lease_token)
        expect_equal(report.WhichOneof("outcome"), "completed", "the outcome")
        await stream.acknowledge(job.lease_token)


@case("R7")
async def unknown_items_are_passed_over(bench: Bench) -> None:
    """Items that the worker does not know, and items without anything, harm no other in their frame."""
    stream = await bench.connected()
    job = bench.job("echo", 1)
    unknown = worker_pb2.ServerItem.FromString(UNKNOWN_ITEM)
    items = [unknown, worker_pb2.ServerItem(), worker_pb2.ServerItem(offer=job), unknown]
    await stream.send_frame(worker_pb2.ServerFrame(items=items))
    report = await stream.report(job.lease_token)
    expect_equal(report.WhichOneof("outcome"), "completed", "the outcome")
    await stream.acknowledge(job.lease_token)


@case("R7")
async def unknown_fields_are_passed_over(bench: Bench) -> None:
    """Fields of frames and offers that the worker does not know harm nothing."""
    stream = await bench.connected()
    job = bench.job("echo", 1)
    job.MergeFromString(b"\xba\x3e\x03new")
    frame = worker_pb2.ServerFrame(items=[worker_pb2.ServerItem(offer=job)])
    frame.MergeFromString(b"\xb8\x3e\x01")
    await stream.send_frame(frame)
    report = await stream.report(job.lease_token)
    expect_equal(report.WhichOneof("outcome"), "completed", "the outcome")
    await stream.acknowledge(job.lease_token)


@case("R16")
async def logs_come_before_the_report(bench: Bench) -> None:
    """What a job says comes before its report, which ends the lease."""
    stream = await bench.connected()
    job = bench.job("speak", {"lines": 20, "message": "line"})
    await stream.offer(job)
    await stream.report(job.lease_token)
    await stream.acknowledge(job.lease_token)
    kinds = [
        item.WhichOneof("item")
        for item in stream.items()
        if item.WhichOneof("item") in ("logs", "annotation", "progress", "report")
    ]
    expect(kinds.count("logs") > 0, "no log line came")
    expect_equal(kinds[-1], "report", "the last that was said of the job")


@case("R53", "R66")
async def answers_for_unknown_leases_are_passed_over(bench: Bench) -> None:
    """Acknowledgements, verdicts and records of leases that the worker does not hold harm nothing."""
    stream = await bench.connected()
    stranger = b"a lease of nobody"
    answer = report_pb2.ReportAcknowledgement(lease_token=stranger)
    records = worker_pb2.RecordAcknowledgement(usage_ids=["a"], annotation_ids=["b"])
    await stream.send(
        report_acknowledgement=answer,
        held_lease_verdict=verdict(stranger, KEEP),
        record_acknowledgement=records,
    )
    expect_equal(await bench.output_of(stream, bench.job("echo", 1)), 1, "the output")
