"""Logs, progress and annotations."""

import json

from stageline.v1 import run_pb2, worker_pb2
from stageline_conformance.bench import Bench
from stageline_conformance.messages import DROP, KEEP, LIMITS, milliseconds, verdict
from stageline_conformance.registry import case
from stageline_conformance.stream import ServerStream
from stageline_conformance.violations import expect, expect_equal


def _lines(stream: ServerStream, token: bytes) -> list[run_pb2.LogEntry]:
    batches = [item.logs for item in stream.items() if item.HasField("logs")]
    return [entry for batch in batches if batch.lease_token == token for entry in batch.entries]


def _dropped(stream: ServerStream, token: bytes) -> int:
    batches = [item.logs for item in stream.items() if item.HasField("logs")]
    return sum(batch.dropped_count for batch in batches if batch.lease_token == token)


@case("R90")
async def log_lines_are_sent(bench: Bench) -> None:
    """A line has its message, level, time and fields, any script included."""
    stream = await bench.connected()
    job = bench.job("speak", {"lines": 1, "message": "日本語 naïve 🦉", "fields": {"größe": 1}})
    await bench.do(stream, job)
    (line,) = _lines(stream, job.lease_token)
    expect_equal(line.message, "日本語 naïve 🦉", "the message")
    expect_equal(line.level, run_pb2.LOG_LEVEL_INFO, "the level")
    expect_equal(json.loads(line.fields), {"größe": 1}, "the fields")
    expect(line.HasField("log_time"), "log_time is unset")


@case("R90", "R16")
async def log_lines_keep_their_order(bench: Bench) -> None:
    """Two hundred lines come in order, and before the report."""
    stream = await bench.connected()
    job = bench.job("speak", {"lines": 200, "message": "line"})
    await bench.do(stream, job)
    numbers = [json.loads(line.fields)["number"] for line in _lines(stream, job.lease_token)]
    expect_equal(numbers, list(range(200)), "the lines")


@case("R90")
async def log_lines_are_live(bench: Bench) -> None:
    """Lines come while the job goes on."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("speak", {"lines": 1, "message": "live", **gate.input})
    await stream.offer(job)
    await stream.next("logs")
    gate.open()
    await stream.report(job.lease_token)
    await stream.acknowledge(job.lease_token)


@case("R90", "R6")
async def long_log_lines_are_cut(bench: Bench) -> None:
    """A message over the limit is cut, at a character."""
    limits = type(LIMITS)()
    limits.CopyFrom(LIMITS)
    limits.log_message_bytes_max = 101
    stream = await bench.connected(limits=limits)
    job = bench.job("speak", {"lines": 1, "message": "ü" * 500})
    await bench.do(stream, job)
    (line,) = _lines(stream, job.lease_token)
    size = len(line.message.encode())
    expect(90 <= size <= 101, f"the message has {size} bytes, the limit is 101")
    expect(line.message.startswith("ü" * 40), "the message is not the beginning of what was said")


@case("R90", "R6")
async def too_many_log_lines_are_counted(bench: Bench) -> None:
    """Lines beyond the rate are dropped, and every one of them is counted."""
    limits = type(LIMITS)()
    limits.CopyFrom(LIMITS)
    limits.log_entries_per_second_max = 50
    stream = await bench.connected(limits=limits)
    job = bench.job("speak", {"lines": 1000, "message": "line"})
    await bench.do(stream, job)
    sent, dropped = len(_lines(stream, job.lease_token)), _dropped(stream, job.lease_token)
    expect_equal(sent + dropped, 1000, "lines sent and dropped")
    expect(sent < 500, f"{sent} lines were sent at once, at 50 a second")
    expect(sent > 0, "no line was sent")


@case("R91")
async def progress_is_sent(bench: Bench) -> None:
    """Progress has its fraction and message, and comes while the job goes on."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("speak", {"progress": [0.5], "message": "halb", **gate.input})
    await stream.offer(job)
    told: worker_pb2.Progress = await stream.next("progress")
    expect_equal(told.lease_token, job.lease_token, "the lease")
    expect_equal(told.progress.fraction, 0.5, "the fraction")
    expect_equal(told.progress.message, "halb", "the message")
    gate.open()
    await stream.report(job.lease_token)
    await stream.acknowledge(job.lease_token)


@case("R91")
async def progress_in_quick_succession_is_thinned(bench: Bench) -> None:
    """Of a hundred updates at once few are sent, the last among them."""
    stream = await bench.connected(progress_interval=milliseconds(200))
    gate = bench.gate()
    job = bench.job("speak", {"progress": [index / 100 for index in range(1, 101)], **gate.input})
    await stream.offer(job)
    await stream.next("progress", lambda told: told.progress.fraction == 1.0)
    expect(stream.count("progress") <= 5, f"{stream.count('progress')} updates were sent")
    gate.open()
    await stream.report(job.lease_token)
    await stream.acknowledge(job.lease_token)


def _annotations(stream: ServerStream, token: bytes) -> dict[str, str]:
    """Return what was annotated under a lease, as items or in the report: id to key."""
    found = {}
    for item in stream.items():
        if item.HasField("annotation") and item.annotation.lease_token == token:
            found[item.annotation.annotation.annotation_id] = item.annotation.annotation.key
        if item.HasField("report") and item.report.lease_token == token:
            found |= {entry.annotation_id: entry.key for entry in item.report.annotations}
    return found


ANNOTATIONS = [{"key": "decision.rationale", "value": "größer"}, {"key": "score", "value": 0.5}]


@case("R92", "R16")
async def annotations_are_sent(bench: Bench) -> None:
    """Annotations come with ids of their own, before the report or in it."""
    stream = await bench.connected()
    job = bench.job("speak", {"annotations": ANNOTATIONS})
    await bench.do(stream, job)
    found = _annotations(stream, job.lease_token)
    expect_equal(sorted(found.values()), ["decision.rationale", "score"], "the keys")
    expect(all(len(each) == 36 for each in found), f"annotation ids are no UUIDs: {list(found)}")


@case("R92", "R65")
async def unacknowledged_annotations_come_again(bench: Bench) -> None:
    """Annotations of a job at work that were not acknowledged are sent again after a reconnect, with the same ids."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("speak", {"annotations": ANNOTATIONS, **gate.input})
    await stream.offer(job)
    await gate.entered()
    await stream.until(lambda: len(_annotations(stream, job.lease_token)) == 2, "both annotations")
    first = _annotations(stream, job.lease_token)
    again = await bench.reconnected(stream)
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    gate.open()
    await again.report(job.lease_token)
    expect_equal(_annotations(again, job.lease_token), first, "the annotations of the second stream")
    await again.acknowledge(job.lease_token)


@case("R92")
async def acknowledged_annotations_do_not_come_again(bench: Bench) -> None:
    """Annotations that a RecordAcknowledgement named are not sent again."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("speak", {"annotations": ANNOTATIONS, **gate.input})
    await stream.offer(job)
    await gate.entered()
    await stream.until(lambda: len(_annotations(stream, job.lease_token)) == 2, "both annotations")
    ids = list(_annotations(stream, job.lease_token))
    number = await stream.send(record_acknowledgement=worker_pb2.RecordAcknowledgement(annotation_ids=ids))
    await stream.acknowledged(number)
    again = await bench.reconnected(stream)
    await again.send(held_lease_verdict=verdict(job.lease_token, KEEP))
    gate.open()
    await again.report(job.lease_token)
    expect_equal(_annotations(again, job.lease_token), {}, "the annotations of the second stream")
    await again.acknowledge(job.lease_token)


@case("R95", needs_stage="usage")
async def usage_is_sent(bench: Bench) -> None:
    """An AI call is told with an id of its own, before the report or in it."""
    stream = await bench.connected()
    job = bench.job("usage", {"topic": "conformance.call", "input_tokens": 7})
    await bench.do(stream, job)
    records = [item.usage.record for item in stream.items() if item.HasField("usage")]
    records += [record for item in stream.items() if item.HasField("report") for record in item.report.usage]
    expect_equal({record.topic for record in records}, {"conformance.call"}, "the topics")
    expect_equal({record.input_tokens for record in records}, {7}, "the input tokens")
    expect_equal(len({record.usage_id for record in records}), 1, "ids")


@case("R95", "R67", needs_stage="usage")
async def usage_survives_a_dropped_lease(bench: Bench) -> None:
    """Usage that was not acknowledged is sent again, though its lease was dropped."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("usage", {"topic": "conformance.call", "input_tokens": 7, **gate.input})
    await stream.offer(job)
    await gate.entered()
    told: worker_pb2.UsageItem = await stream.next("usage")
    again = await bench.reconnected(stream)
    await again.send(held_lease_verdict=verdict(job.lease_token, DROP))
    repeated: worker_pb2.UsageItem = await again.next("usage")
    expect_equal(repeated.record.usage_id, told.record.usage_id, "usage_id")
    ids = [told.record.usage_id]
    await again.send(record_acknowledgement=worker_pb2.RecordAcknowledgement(usage_ids=ids))
