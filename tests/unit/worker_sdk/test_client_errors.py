"""From a failed call to a typed error."""

import re
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from stageline.v1 import error_pb2
from stageline_sdk import errors
from stageline_sdk._rpc_errors import api_error, error_of_detail, reason_name

ADDRESS = "stageline.test:7460"
PROTO = Path(__file__).parents[3] / "protos/stageline/v1/error.proto"


def failure(code: grpc.StatusCode, message: str, *details: Message) -> grpc.aio.AioRpcError:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, message)


def info(reason: str, domain: str = "stageline", **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)


def documented_codes() -> dict[str, str]:
    """Return the code that error.proto gives each reason."""
    pattern = re.compile(r"// Code ([A-Z_]+)\.(?:.|\n)*?ERROR_REASON_([A-Z_]+) =")
    return {reason: code for code, reason in pattern.findall(PROTO.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("reason", sorted(error_pb2.ErrorReason.keys()))
def test_each_reason_is_the_same_error_in_a_status_and_in_an_item(reason: str) -> None:
    name = reason.removeprefix("ERROR_REASON_")
    number = error_pb2.ErrorReason.Value(reason)
    in_an_item = error_of_detail(error_pb2.ErrorDetail(reason=number, message="no"))
    if name == "UNSPECIFIED":
        assert (type(in_an_item), in_an_item.reason) == (errors.InternalError, "INTERNAL")
        return
    code = grpc.StatusCode[documented_codes()[name]]
    in_a_status = api_error(failure(code, "no", info(name)), ADDRESS)
    assert type(in_an_item) is type(in_a_status) is not errors.ApiError
    assert in_an_item.reason == in_a_status.reason == name


def test_a_refusal_carries_its_facts() -> None:
    fields = error_details_pb2.BadRequest()
    fields.field_violations.add(field="input.url", description="is required")
    details = (info("INVALID_INPUT", violation_count="1"), fields)
    error = api_error(failure(grpc.StatusCode.INVALID_ARGUMENT, "the input does not fit", *details), ADDRESS)
    assert isinstance(error, errors.InvalidArgumentError)
    assert error.field_violations == (errors.FieldViolation("input.url", "is required"),)
    assert dict(error.metadata) == {"violation_count": "1"}
    assert str(error) == "INVALID_INPUT: the input does not fit\n  - input.url: is required"
    assert not error.retryable


def test_a_server_that_says_when_to_come_back_can_be_asked_again() -> None:
    wait = error_details_pb2.RetryInfo()
    wait.retry_delay.seconds = 5
    error = api_error(
        failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "too fast", info("LIMIT_EXCEEDED"), wait), ADDRESS
    )
    assert error.retryable


def test_nobody_at_the_address_is_told_with_what_to_do() -> None:
    error = api_error(failure(grpc.StatusCode.UNAVAILABLE, "connection refused"), ADDRESS)
    assert isinstance(error, errors.UnavailableError)
    assert isinstance(error, ConnectionError)
    for words in (ADDRESS, "connection refused", "stageline dev"):
        assert words in error.message
    assert error.retryable


@pytest.mark.parametrize(
    "details", [(), (info("SOMETHING", domain="elsewhere.example"),)], ids=["no details", "another domain"]
)
def test_another_service_is_not_taken_for_ours(details: tuple[Message, ...]) -> None:
    error = api_error(failure(grpc.StatusCode.UNIMPLEMENTED, "unknown method", *details), ADDRESS)
    assert isinstance(error, errors.UnsupportedError)
    assert error.reason == ""
    assert "Is it a Stageline server" in error.message


def test_details_that_cannot_be_read_are_passed_over() -> None:
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff\xff"))
    broken = grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), trailing, "oh")
    assert isinstance(api_error(broken, ADDRESS), errors.InternalError)


def test_a_reason_of_a_newer_server_is_internal() -> None:
    detail = error_pb2.ErrorDetail.FromString(b"\x08\xe7\x07")  # Reason 999.
    assert reason_name(detail.reason) == "INTERNAL"
    assert isinstance(error_of_detail(detail), errors.InternalError)
