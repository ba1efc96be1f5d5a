"""One table from reason to status: complete, and what a client gets of it."""

import logging
import re
from pathlib import Path

import pytest
from google.rpc import error_details_pb2, status_pb2

from stageline.v1 import error_pb2
from stageline_engine.errors import ConcurrentChangeError, StorageUnavailableError
from stageline_engine.rejections import FieldViolation, Reason, Rejection
from stageline_server.errors import (
    DETAILS_BYTES_MAX,
    STATUS_BY_REASON,
    Refusal,
    RefusedError,
    accepted,
    error_detail,
    invalid_field,
    refusal_of,
    status_of,
)

PREFIX = "ERROR_REASON_"
WIRE_REASONS = {name.removeprefix(PREFIX) for name in error_pb2.ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118


def details(status: status_pb2.Status, kind: type) -> list[object]:
    found = []
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


def test_the_table_holds_the_reasons_of_the_wire_and_no_other() -> None:
    assert set(STATUS_BY_REASON) == WIRE_REASONS


def test_every_reason_of_the_engine_is_in_the_table() -> None:
    assert {reason.value for reason in Reason} <= set(STATUS_BY_REASON)


def test_the_codes_are_those_that_the_proto_states() -> None:
    proto = (Path(__file__).parents[3] / "protos/stageline/v1/error.proto").read_text(encoding="utf-8")
    stated = re.findall(r"// Code (\w+)\.(?:(?!// Code)[\s\S])*?ERROR_REASON_(\w+) = \d+;", proto)
    assert {reason: code for code, reason in stated} == {
        reason: rule.code.name for reason, rule in STATUS_BY_REASON.items()
    }


@pytest.mark.parametrize("reason", sorted(STATUS_BY_REASON))
def test_each_reason_makes_a_status_with_exactly_one_error_info(reason: str) -> None:
    status = status_of(Refusal(reason, "Because.", {"key": "value"}))
    (info,) = details(status, error_details_pb2.ErrorInfo)
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason, "stageline", {"key": "value"})
    assert status.code == STATUS_BY_REASON[reason].code.value[0]


@pytest.mark.parametrize("reason", sorted(STATUS_BY_REASON))
def test_a_client_is_told_to_try_again_where_that_helps(reason: str) -> None:
    helps = reason in {"UNAVAILABLE", "SHUTTING_DOWN", "REQUEST_IN_PROGRESS"}
    assert bool(details(status_of(Refusal(reason, "")), error_details_pb2.RetryInfo)) is helps


def test_the_details_fit_into_the_trailers_and_all_violations_are_counted() -> None:
    violations = tuple(FieldViolation(f"input.field{n}", "x" * 300) for n in range(50))
    status = status_of(Refusal("INVALID_INPUT", "m" * 10_000, {}, violations))
    assert status.ByteSize() <= DETAILS_BYTES_MAX
    assert len(status.message) < 1_000
    (bad,) = details(status, error_details_pb2.BadRequest)
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert 0 < len(bad.field_violations) < 50
    (info,) = details(status, error_details_pb2.ErrorInfo)
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.metadata["violation_count"] == "50"


def test_a_rejection_of_the_engine_is_raised_and_a_result_is_not() -> None:
    assert accepted("result") == "result"
    rejection = Rejection(Reason.RUN_NOT_FOUND, "none", {"run_id": "1"})
    with pytest.raises(RefusedError) as raised:
        accepted(rejection)
    assert raised.value.refusal == Refusal("RUN_NOT_FOUND", "none", {"run_id": "1"})


def test_an_absent_database_is_unavailable() -> None:
    assert refusal_of(StorageUnavailableError("host db.internal is away")).reason == "UNAVAILABLE"
    assert "db.internal" not in refusal_of(StorageUnavailableError("host db.internal is away")).message


@pytest.mark.parametrize("error", [ValueError("password=secret"), ConcurrentChangeError("row secret")])
def test_what_nobody_foresaw_is_logged_and_kept_from_the_caller(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        told = refusal_of(error)
    assert (told.reason, "secret" in told.message) == ("INTERNAL", False)
    assert told.metadata["error_id"] in caplog.text
    assert "secret" in caplog.text


def test_one_item_of_many_is_refused_with_the_same_words() -> None:
    detail = error_detail(invalid_field("priority", "must be small").refusal)
    assert detail.reason == error_pb2.ERROR_REASON_INVALID_FIELD
    assert [(item.field, item.description) for item in detail.violations] == [("priority", "must be small")]
    assert dict(detail.metadata) == {"field": "priority", "violation_count": "1"}
