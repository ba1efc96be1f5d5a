"""What is checked of a creation before anything is written: every fault of a part at once, limits at n and n + 1."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from stageline_engine.acceptance import accept, merged_config
from stageline_engine.commands import CreateRun
from stageline_engine.decide.create import AcceptedRun
from stageline_engine.limits import (
    LABEL_KEY_LENGTH_MAX,
    LABEL_VALUE_LENGTH_MAX,
    LABELS_MAX,
    PAYLOAD_INLINE_BYTES_MAX,
    PRIORITY_DEFAULT,
    PRIORITY_MAX,
    PRIORITY_MIN,
    REQUEST_ID_LENGTH_MAX,
    START_DELAY_MAX,
)
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing import stage, workflow
from tests.unit.engine.views import NOW, registered

URL = '{"type":"object","properties":{"url":{"type":"string"},"n":{"type":"integer"}},"required":["url"]}'
LENGTH = '{"type":"object","properties":{"max_length":{"type":"integer","minimum":1}}}'
NEEDED = '{"type":"object","properties":{"model":{"type":"string"}},"required":["model"]}'
FLOW = registered(
    workflow(
        "flow",
        stage("extract", config_schema=LENGTH, default_config='{"max_length":50,"keep":{"a":1}}'),
        [stage("judge", config_schema=NEEDED, default_config='{"model":"m"}'), "plain"],
        input_schema=URL,
    )
)

TICK = timedelta(microseconds=1)


def accepted(**fields: Any) -> AcceptedRun | Rejection:
    return accept(CreateRun("default", "flow", **{"input": b'{"url": "x"}', **fields}), FLOW, NOW)


def refused(**fields: Any) -> Rejection:
    answer = accepted(**fields)
    assert isinstance(answer, Rejection)
    return answer


def fields_of(rejection: Rejection) -> list[str]:
    return [violation.field for violation in rejection.violations]


def test_a_good_request_is_accepted_as_it_came() -> None:
    answer = accepted(input=b' {"url": "\xc3\xbc"} ', labels={"k": "v"})
    assert isinstance(answer, AcceptedRun)
    assert answer.input == ' {"url": "ü"} '
    assert (answer.priority, dict(answer.labels)) == (PRIORITY_DEFAULT, {"k": "v"})


def test_every_fault_of_an_input_is_told_at_once() -> None:
    rejection = refused(input=b'{"n": "x"}')
    assert rejection.reason is Reason.INVALID_INPUT
    assert sorted(fields_of(rejection)) == ["input", "input.n"]
    assert "url" in " ".join(violation.description for violation in rejection.violations)


@pytest.mark.parametrize("payload", [b"{", b"\xff", b'{"url": "\\u0000"}', b""])
def test_an_input_that_is_no_json_is_refused(payload: bytes) -> None:
    rejection = refused(input=payload)
    assert (rejection.reason, fields_of(rejection)) == (Reason.MALFORMED_JSON, ["input"])


def test_an_input_may_be_as_large_as_the_limit() -> None:
    def padded(size_bytes: int) -> bytes:
        start, end = b'{"url": "', b'"}'
        return start + b"x" * (size_bytes - len(start) - len(end)) + end

    assert isinstance(accepted(input=padded(PAYLOAD_INLINE_BYTES_MAX)), AcceptedRun)
    for size_bytes in (PAYLOAD_INLINE_BYTES_MAX + 1, 5 * 1024 * 1024):
        assert refused(input=padded(size_bytes)).reason is Reason.PAYLOAD_TOO_LARGE


def test_config_is_merged_over_the_defaults_field_by_field() -> None:
    answer = merged_config(b'{"extract": {"keep": {"b": 2}, "more": null}, "plain": {"x": [1]}}', FLOW)
    assert isinstance(answer, str)
    assert orjson.loads(answer) == {
        "extract": {"max_length": 50, "keep": {"b": 2}, "more": None},
        "judge": {"model": "m"},
        "plain": {"x": [1]},
    }


def test_config_may_be_left_out() -> None:
    answer = merged_config(b"{}", FLOW)
    assert isinstance(answer, str)
    assert orjson.loads(answer) == {
        "extract": {"max_length": 50, "keep": {"a": 1}},
        "judge": {"model": "m"},
    }


def test_every_fault_of_every_slice_is_told_at_once() -> None:
    config = b'{"extract": {"max_length": 0}, "judge": {"model": 3}, "plain": [], "absent": {}}'
    rejection = refused(config=config)
    assert rejection.reason is Reason.INVALID_CONFIG
    assert sorted(fields_of(rejection)) == [
        "config.absent",
        "config.extract.max_length",
        "config.judge.model",
        "config.plain",
    ]
    [unknown] = [violation for violation in rejection.violations if violation.field == "config.absent"]
    assert "extract, judge, plain" in unknown.description


def test_a_value_that_a_stage_needs_must_come_from_somewhere() -> None:
    needy = registered(workflow("flow", stage("judge", config_schema=NEEDED)))
    rejection = merged_config(b"{}", needy)
    assert isinstance(rejection, Rejection)
    assert fields_of(rejection) == ["config.judge"]


@pytest.mark.parametrize("config", [b"[]", b"null", b'"x"', b"3"])
def test_config_must_be_an_object(config: bytes) -> None:
    rejection = refused(config=config)
    assert (rejection.reason, fields_of(rejection)) == (Reason.INVALID_CONFIG, ["config"])


def test_config_that_is_no_json_or_too_large_is_refused() -> None:
    assert refused(config=b"{").reason is Reason.MALFORMED_JSON
    large = b'{"plain": {"x": "' + b"x" * PAYLOAD_INLINE_BYTES_MAX + b'"}}'
    assert refused(config=large).reason is Reason.PAYLOAD_TOO_LARGE


def test_config_may_grow_by_its_defaults_up_to_the_limit() -> None:
    half = PAYLOAD_INLINE_BYTES_MAX // 2
    heavy = registered(workflow("flow", stage("a", default_config='{"x":"' + "x" * half + '"}')))

    def merged(size_bytes: int) -> str | Rejection:
        others = len('{"a":{"x":"","y":""}}') + half
        return merged_config(b'{"a": {"y": "' + b"y" * (size_bytes - others) + b'"}}', heavy)

    good = merged(PAYLOAD_INLINE_BYTES_MAX)
    assert isinstance(good, str)
    assert len(good) == PAYLOAD_INLINE_BYTES_MAX
    rejection = merged(PAYLOAD_INLINE_BYTES_MAX + 1)
    assert isinstance(rejection, Rejection)
    assert rejection.reason is Reason.PAYLOAD_TOO_LARGE
    assert rejection.metadata["limit_bytes"] == str(PAYLOAD_INLINE_BYTES_MAX)


@pytest.mark.parametrize("priority", [PRIORITY_MIN, PRIORITY_MAX])
def test_priorities_within_the_range_are_accepted(priority: int) -> None:
    answer = accepted(priority=priority)
    assert isinstance(answer, AcceptedRun)
    assert answer.priority == priority


@pytest.mark.parametrize("priority", [PRIORITY_MIN - 1, PRIORITY_MAX + 1])
def test_priorities_beyond_are_refused(priority: int) -> None:
    rejection = refused(priority=priority)
    assert (rejection.reason, fields_of(rejection)) == (Reason.INVALID_FIELD, ["priority"])
    assert str(priority) in rejection.violations[0].description


def test_request_ids_have_a_length() -> None:
    assert isinstance(accepted(idempotency_key="k" * REQUEST_ID_LENGTH_MAX), AcceptedRun)
    rejection = refused(idempotency_key="k" * (REQUEST_ID_LENGTH_MAX + 1))
    assert fields_of(rejection) == ["request_id"]
    assert str(REQUEST_ID_LENGTH_MAX + 1) in rejection.violations[0].description


def test_labels_have_a_number_and_lengths() -> None:
    many = {f"k{n}": "v" for n in range(LABELS_MAX)}
    long = {"k" * LABEL_KEY_LENGTH_MAX: "v" * LABEL_VALUE_LENGTH_MAX}
    assert isinstance(accepted(labels=many), AcceptedRun)
    assert isinstance(accepted(labels=long), AcceptedRun)
    assert fields_of(refused(labels={**many, "one-more": ""})) == ["labels"]
    assert fields_of(refused(labels={"k" * (LABEL_KEY_LENGTH_MAX + 1): ""})) == ["labels"]
    assert fields_of(refused(labels={"": ""})) == ["labels"]
    assert fields_of(refused(labels={"k": "v" * (LABEL_VALUE_LENGTH_MAX + 1)})) == ["labels.k"]


def test_every_field_at_fault_is_told_at_once() -> None:
    rejection = refused(priority=-1, idempotency_key="\0", labels={"a\0": "", "b": "\0"})
    assert fields_of(rejection) == ["priority", "request_id", "labels", "labels"]
    assert "U+0000" in rejection.violations[1].description


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"start_at": NOW + START_DELAY_MAX}, ""),
        ({"start_at": NOW + START_DELAY_MAX + TICK}, "scheduled_start_time"),
        ({"start_delay": START_DELAY_MAX}, ""),
        ({"start_delay": START_DELAY_MAX + TICK}, "start_delay"),
        ({"start_delay": timedelta.max}, "start_delay"),
        ({"start_delay": -TICK}, "start_delay"),
        ({"start_delay": TICK, "start_at": NOW}, "start_delay"),
    ],
)
def test_a_start_is_ahead_by_no_more_than_its_limit(fields: dict[str, Any], field: str) -> None:
    answer = accepted(**fields)
    named = [one.field for one in answer.violations] if isinstance(answer, Rejection) else []
    assert named == [field] * bool(field)


def test_a_delay_counts_from_the_creation() -> None:
    answer = accepted(start_delay=TICK)
    assert isinstance(answer, AcceptedRun)
    assert answer.start_at == NOW + TICK
