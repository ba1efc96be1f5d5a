"""Log lines and progress on their way."""

import json

from stageline.v1 import limits_pb2, run_pb2, worker_pb2
from stageline_sdk._session_logs import FIELDS_BYTES_MAX
from stageline_sdk._session_stream import LOGS_WITHIN_SECONDS
from tests.unit.worker_sdk.session_harness import LIMITS, Harness, completed

RATE = LIMITS.log_entries_per_second_max


def line(message: str, fields: bytes = b"") -> run_pb2.LogEntry:
    return run_pb2.LogEntry(level=run_pb2.LOG_LEVEL_INFO, message=message, fields=fields)


def batches(harness: Harness) -> list[worker_pb2.LogBatch]:
    harness.wait(LOGS_WITHIN_SECONDS)
    return [item.logs for item in harness.pump() if item.WhichOneof("item") == "logs"]


def working() -> Harness:
    harness = Harness()
    harness.connect()
    harness.offer("a")
    return harness


def test_lines_of_a_moment_go_in_one_batch() -> None:
    harness = working()
    for number in range(5):
        harness.core.log(b"a", line(f"line {number}"), harness.now)
    assert harness.kinds() == []
    (batch,) = batches(harness)
    assert [entry.message for entry in batch.entries] == [f"line {number}" for number in range(5)]
    assert (batch.lease_token, batch.dropped_count) == (b"a", 0)


def test_lines_go_before_the_report_that_ends_the_lease() -> None:
    harness = working()
    harness.core.log(b"a", line("last words"), harness.now)
    harness.core.finish(b"a", completed("a"))
    assert [kind for kind in harness.kinds() if kind != "credits"] == ["logs", "report"]
    assert batches(harness) == []


def test_lines_beyond_the_rate_are_dropped_and_counted() -> None:
    harness = working()
    for number in range(RATE + 7):
        harness.core.log(b"a", line(str(number)), harness.now)
    sent = batches(harness)
    assert sum(len(batch.entries) for batch in sent) == RATE
    assert sum(batch.dropped_count for batch in sent) == 7
    harness.wait(1)
    harness.core.log(b"a", line("later"), harness.now)
    (batch,) = batches(harness)
    assert ([entry.message for entry in batch.entries], batch.dropped_count) == (["later"], 0)


def test_the_message_is_cut_at_the_limit_and_not_before() -> None:
    harness = working()
    limit = LIMITS.log_message_bytes_max
    harness.core.log(b"a", line("x" * limit), harness.now)
    harness.core.log(b"a", line("é" * limit), harness.now)
    (batch,) = batches(harness)
    whole, cut = (entry.message for entry in batch.entries)
    assert whole == "x" * limit
    assert cut.endswith("é…")
    assert limit - 2 < len(cut.encode()) <= limit


def test_details_that_are_too_large_are_replaced_by_a_note() -> None:
    harness = working()
    harness.core.log(b"a", line("big", fields=b"x" * (FIELDS_BYTES_MAX + 1)), harness.now)
    (batch,) = batches(harness)
    assert str(FIELDS_BYTES_MAX + 1) in json.loads(batch.entries[0].fields)["fields_left_out"]


def test_many_lines_are_split_over_frames() -> None:
    harness = working()
    for _ in range(RATE):
        harness.core.log(b"a", line("x" * 1000), harness.now)
    sent = batches(harness)
    assert sum(len(batch.entries) for batch in sent) == RATE
    assert len(sent) > 1
    assert max(frame.ByteSize() for frame in harness.sent) <= LIMITS.frame_bytes_max


def test_a_line_that_fits_into_no_frame_does_not_hold_up_the_report() -> None:
    harness = Harness()
    harness.connect(limits=limits_pb2.Limits(frame_bytes_max=1024))
    harness.offer("a")
    harness.core.log(b"a", line("x" * 5000), harness.now)
    harness.core.log(b"a", line("small"), harness.now)
    harness.core.finish(b"a", completed("a"))
    items = harness.pump()
    assert [item.WhichOneof("item") for item in items][-2:] == ["logs", "report"]
    assert [entry.message for item in items for entry in item.logs.entries] == ["small"]
    assert sum(item.logs.dropped_count for item in items) == 1


def test_progress_is_sent_at_once_and_then_at_most_once_an_interval() -> None:
    harness = working()
    for share in (0.1, 0.2):
        harness.core.progress(b"a", run_pb2.StageProgress(fraction=share))
    assert [item.progress.progress.fraction for item in harness.pump()] == [0.2]
    for share in (0.3, 0.4):
        harness.core.progress(b"a", run_pb2.StageProgress(fraction=share))
    assert harness.kinds() == []
    assert harness.core.next_frame_at() <= harness.now + 1
    harness.wait(1)
    assert [item.progress.progress.fraction for item in harness.pump()] == [0.4]


def test_what_is_said_of_a_job_that_is_over_is_dropped() -> None:
    harness = working()
    harness.core.finish(b"a", completed("a"))
    harness.pump()
    harness.core.log(b"a", line("late"), harness.now)
    harness.core.log(b"nobody", line("late"), harness.now)
    harness.core.progress(b"a", run_pb2.StageProgress(fraction=1))
    assert batches(harness) == []
