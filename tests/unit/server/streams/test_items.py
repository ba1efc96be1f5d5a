"""Items become commands, results and offers become items; whatever is odd is refused or made storable."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stageline.v1 import error_pb2, failure_pb2, report_pb2, run_pb2, worker_pb2
from stageline_engine import limits
from stageline_engine.commands import (
    Completed,
    Disposition,
    Failed,
    JobOffer,
    JobReportRecorded,
    LeaseReference,
    Returned,
)
from stageline_engine.model.job import JobKind
from stageline_server.mapping import failures
from stageline_server.streams import items
from stageline_server.streams.frames import ITEM_BYTES_MAX
from stageline_server.streams.items import BadItemError, ForbiddenOutcome
from stageline_server.streams.tokens import LeaseToken, encode_token

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TOKEN = LeaseToken(uuid4(), 3, uuid4())
LONGEST_ID = "s" * (limits.NAME_LENGTH_MAX - 4)


def offer(**fields: object) -> JobOffer:
    made = JobOffer(
        lease=LeaseReference(uuid4(), uuid4(), uuid4(), 3),
        namespace="default",
        workflow_name="w",
        workflow_version=2,
        stage_id="s",
        kind=JobKind.EXECUTE,
        generation=1,
        attempt=2,
        delivery=3,
        priority=7,
        start_to_close=timedelta(seconds=9),
        config='{"a":1}',
        run_input=None,
        input_stage_ids=("p",),
        outputs={"p": '"text"'},
        completed_stage_ids=("o", "p"),
    )
    return replace(made, **fields)


def test_an_offer_says_all_that_its_worker_needs() -> None:
    given_offer = offer()
    message = items.offer_item(given_offer).offer
    assert message.lease_token == encode_token(given_offer.lease)
    assert (message.generation, message.attempt, message.delivery, message.priority) == (1, 2, 3, 7)
    assert message.start_to_close.ToTimedelta() == timedelta(seconds=9)
    assert (message.config.json, message.outputs["p"].json) == (b'{"a":1}', b'"text"')
    assert (list(message.input_stage_ids), list(message.completed_stage_ids)) == (["p"], ["o", "p"])
    assert not message.HasField("run_input")
    assert items.offer_item(offer(run_input="null", start_to_close=None)).offer.run_input.json == b"null"


def test_the_largest_offer_goes_into_a_frame_with_as_many_outputs_as_fit() -> None:
    ids = [f"{LONGEST_ID}{number:04}" for number in range(limits.STAGES_PER_WORKFLOW_MAX)]
    text = '"' + "x" * (limits.PAYLOAD_INLINE_BYTES_MAX - 2) + '"'
    largest = offer(
        stage_id=ids[-1],
        workflow_name="w" * limits.NAME_LENGTH_MAX,
        config=text,
        run_input=text,
        input_stage_ids=tuple(ids[: limits.STAGES_PER_GROUP_MAX]),
        completed_stage_ids=tuple(ids),
        outputs=dict.fromkeys(ids, '"' + "y" * 60 + '"'),
    )
    item = items.offer_item(largest)
    assert item.ByteSize() <= ITEM_BYTES_MAX
    assert 0 < len(item.offer.outputs) < len(ids)
    assert set(item.offer.outputs) == set(ids[: len(item.offer.outputs)])


def test_outcomes() -> None:
    completed = report_pb2.Report(metrics={"a": 1.5, "nan": float("nan"), "inf": float("inf")})
    completed.completed.output.json = b"[1]"
    assert items.to_outcome(completed) == Completed(b"[1]", {"a": 1.5})
    for started in (True, False):
        assert items.to_outcome(report_pb2.Report(returned=report_pb2.Returned(started=started))) == Returned(
            started
        )


def test_metrics_have_limits() -> None:
    report = report_pb2.Report(metrics={f"m{number:03}": number for number in range(150)})
    report.metrics["\0" + "n" * 200] = 1
    report.completed.output.json = b"{}"
    outcome = items.to_outcome(report)
    assert isinstance(outcome, Completed)
    assert len(outcome.metrics) == items.METRICS_MAX
    assert all("\0" not in name and len(name) <= 127 for name in outcome.metrics)


def test_outcomes_that_are_not_allowed_are_final_failures() -> None:
    reference = report_pb2.Report()
    reference.completed.output.reference.size_bytes = 5
    for report in (
        report_pb2.Report(),
        reference,
    ):
        outcome = items.to_outcome(report)
        assert isinstance(outcome, ForbiddenOutcome)
        assert (outcome.retryable, outcome.error.type) == (False, "INVALID_OUTPUT")
        assert outcome.error.message


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("UNSPECIFIED", None, None)),
        ({"kind": 1234}, ("UNKNOWN", None, None)),
        ({"kind": failure_pb2.FAILURE_KIND_INVALID_INPUT, "retryable": True}, ("INVALID_INPUT", False, None)),
        ({"type": "E", "retryable": True}, ("E", True, None)),
        ({"type": "E", "retry_after": {"seconds": 5}}, ("E", None, timedelta(seconds=5))),
        ({"type": "E", "retry_after": {"seconds": 2**62}}, ("E", None, limits.RETRY_BACKOFF_MAX)),
        ({"type": "E", "retry_after": {"seconds": -(2**62)}}, ("E", None, timedelta())),
        ({"type": "E", "retry_after": {"nanos": -(2**31)}}, ("E", None, None)),
    ],
)
def test_failures(fields: dict[str, object], expected: tuple[str, bool | None, timedelta | None]) -> None:
    failure = failures.to_failure(failure_pb2.StageError(**fields))  # type: ignore[arg-type]
    assert (failure.error.type, failure.retryable) == expected[:2]
    if expected[2] is not None:
        assert failure.retry_after == expected[2]


def test_texts_of_a_failure_are_cut_and_storable() -> None:
    error = failure_pb2.StageError(type="t\0" * 999, message="m\0" * 9999, stack_trace="s\0" * 99999)
    failed = failures.to_failure(error).error
    assert len(failed.type) == limits.NAME_LENGTH_MAX
    assert len(failed.message) == limits.ERROR_MESSAGE_LENGTH_MAX
    assert len(failed.stack) == limits.ERROR_STACK_LENGTH_MAX
    assert "\0" not in failed.type + failed.message + failed.stack


@given(st.text(), st.integers(1, 50))
def test_cut_texts_are_short_storable_and_say_so(text: str, length_max: int) -> None:
    short = failures.cut(text, length_max)
    assert len(short) <= length_max
    assert "\0" not in short
    assert len(text) <= length_max or short.endswith("…")
    assert "\0" in text or len(text) > length_max or short == text


@pytest.mark.parametrize("fraction", [-0.1, 1.01, float("nan"), float("inf")])
def test_a_fraction_is_from_0_to_1(fraction: float) -> None:
    with pytest.raises(BadItemError) as refused:
        items.to_progress("default", TOKEN, run_pb2.StageProgress(fraction=fraction))
    assert refused.value.detail.reason == error_pb2.ERROR_REASON_INVALID_FIELD
    assert refused.value.detail.metadata["field"] == "fraction"


def test_progress() -> None:
    none = items.to_progress("default", TOKEN, run_pb2.StageProgress())
    assert (none.fraction, none.message, none.details) == (None, "", {})
    some = items.to_progress(
        "default", TOKEN, run_pb2.StageProgress(fraction=0, message="m" * 9999, details=b'{"a":[1]}')
    )
    assert (some.fraction, len(some.message)) == (0, limits.PROGRESS_MESSAGE_LENGTH_MAX)
    assert some.details == {"a": [1]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", error_pb2.ERROR_REASON_MALFORMED_JSON),
        (b'{"a":"\xff"}', error_pb2.ERROR_REASON_MALFORMED_JSON),
        (b'{"a":1e999}', error_pb2.ERROR_REASON_MALFORMED_JSON),
        (b'{"a":' + b"[" * 600 + b"]" * 600 + b"}", error_pb2.ERROR_REASON_MALFORMED_JSON),
        (b"[]", error_pb2.ERROR_REASON_INVALID_FIELD),
        (b'{"a":"\\u0000"}', error_pb2.ERROR_REASON_INVALID_FIELD),
        (b'{"a":"' + b"x" * 20_000 + b'"}', error_pb2.ERROR_REASON_PAYLOAD_TOO_LARGE),
    ],
)
def test_an_object_that_cannot_be_kept_is_refused(text: bytes, reason: int) -> None:
    with pytest.raises(BadItemError) as refused:
        items.json_object(text, "details")
    assert refused.value.detail.reason == reason
    assert refused.value.detail.metadata["field"] == "details"


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_an_object_that_is_taken_can_be_written(text: bytes) -> None:
    try:
        value = items.json_object(text, "details")
    except BadItemError:
        return
    orjson.dumps(value)


def test_a_refusal_is_never_too_large_for_a_frame() -> None:
    bad = BadItemError(error_pb2.ERROR_REASON_INVALID_FIELD, "m" * 10**6, {"field": "f" * 10**6})
    assert bad.detail.ByteSize() < limits.FRAME_BYTES_MAX / 10


def test_log_lines_keep_what_can_be_kept() -> None:
    entries = [
        run_pb2.LogEntry(level=run_pb2.LOG_LEVEL_WARNING, message="m", fields=b'{"a":1}'),
        run_pb2.LogEntry(level=4242, message="x" * 10**5, fields=b"nonsense"),  # type: ignore[arg-type]
        run_pb2.LogEntry(),
    ]
    entries[0].log_time.FromDatetime(NOW - timedelta(hours=1))
    entries[1].log_time.seconds = 2**62
    lines = items.to_log_lines(TOKEN, 2, 4, worker_pb2.LogBatch(entries=entries, dropped_count=-3), NOW)
    assert [line.level for line in lines] == ["WARNING", "INFO", "INFO"]
    assert [line.logged_at for line in lines] == [NOW - timedelta(hours=1), NOW, NOW]
    assert lines[0].metadata == {"a": 1}
    assert "stageline.note" in lines[1].metadata
    assert len(lines[1].message) == limits.LOG_MESSAGE_LENGTH_MAX
    assert {(line.run_id, line.stage_number, line.generation, line.attempt) for line in lines} == {
        (TOKEN.run_id, 3, 2, 4)
    }


@pytest.mark.parametrize("disposition", Disposition)
def test_every_disposition_has_its_answer(disposition: Disposition) -> None:
    answer = items.acknowledgement_item(b"t", JobReportRecorded(disposition)).report_acknowledgement
    name = report_pb2.ReportDisposition.Name(answer.disposition)
    assert name == f"REPORT_DISPOSITION_{disposition.value}"
    assert not answer.HasField("error")


def test_a_note_makes_a_refusal_that_goes_into_a_frame() -> None:
    item = items.acknowledgement_item(b"t", JobReportRecorded(Disposition.RECORDED, "n" * 10**7))
    assert item.report_acknowledgement.disposition == report_pb2.REPORT_DISPOSITION_REFUSED
    assert item.ByteSize() < limits.FRAME_BYTES_MAX / 10


def test_a_directive_names_the_lease_as_its_offer_did() -> None:
    given_offer = offer()
    stop = items.stop_item(given_offer.lease, worker_pb2.STOP_REASON_RUN_ENDED).directive
    assert stop.lease_token == items.offer_item(given_offer).offer.lease_token
    assert stop.action == worker_pb2.DIRECTIVE_ACTION_STOP


def test_a_failure_is_what_the_kernel_takes() -> None:
    assert isinstance(items.to_outcome(report_pb2.Report(failed=report_pb2.Failed())), Failed)
