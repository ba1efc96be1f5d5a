"""What is wrong is met with a typed error that names the field or the limit, and leaves nothing behind."""

from typing import Any

import grpc
import pytest

from stageline.v1 import definition_pb2, payload_pb2, run_service_pb2
from stageline_engine import limits
from tests.integration.server.running import Refused, Server, documents, refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED

BAD_INPUTS = {
    "wrong type": (b'{"url":3}', INVALID, "INVALID_INPUT", "input.url"),
    "missing field": (b"{}", INVALID, "INVALID_INPUT", "input"),
    "malformed JSON": (b'{"url":', INVALID, "MALFORMED_JSON", "input"),
    "empty text": (b"", INVALID, "MALFORMED_JSON", "input"),
    "invalid UTF-8": (b'{"url":"\xff\xfe"}', INVALID, "MALFORMED_JSON", "input"),
    "null byte": (b'{"url":"\x00"}', INVALID, "MALFORMED_JSON", "input"),
    "escaped null": (b'{"url":"a\\u0000b"}', INVALID, "MALFORMED_JSON", "input"),
    "not a number": (b'{"url":"x","n":NaN}', INVALID, "MALFORMED_JSON", "input"),
    "infinite": (b'{"url":"x","n":1e400}', INVALID, "MALFORMED_JSON", "input"),
    "half a surrogate": (b'{"url":"\\ud800"}', INVALID, "MALFORMED_JSON", "input"),
    "nested without end": (b"[" * 100_000, INVALID, "MALFORMED_JSON", "input"),
    "5 MB": (b'{"url":"' + b"x" * 5_000_000 + b'"}', EXHAUSTED, "PAYLOAD_TOO_LARGE", "input"),
}


async def refused_and_nothing_written(server: Server, **fields: Any) -> Refused:
    """Creates a run that must be refused, and makes sure that there is none."""
    await server.register(documents())
    told = await refused(server.create(**fields))
    assert await server.run_count() == 0
    return told


@pytest.mark.parametrize("case", BAD_INPUTS)
async def test_a_bad_input_is_named(server: Server, case: str) -> None:
    raw, code, reason, field = BAD_INPUTS[case]
    told = await refused_and_nothing_written(server, input_json=raw)
    assert (told.code, told.reason) == (code, reason)
    assert told.fields == [field]


async def test_the_size_and_its_limit_are_told(server: Server) -> None:
    told = await refused_and_nothing_written(
        server, input_json=b'"' + b"x" * limits.PAYLOAD_INLINE_BYTES_MAX + b'"'
    )
    assert told.metadata["limit_bytes"] == str(limits.PAYLOAD_INLINE_BYTES_MAX)
    assert told.metadata["actual_bytes"] == str(limits.PAYLOAD_INLINE_BYTES_MAX + 2)


async def test_an_input_of_exactly_the_limit_is_taken(server: Server) -> None:
    await server.register(documents())
    room = limits.PAYLOAD_INLINE_BYTES_MAX - len(b'{"url":""}')
    run = await server.create(b'{"url":"' + b"x" * room + b'"}')
    assert len((await server.get(run.run_id)).input.json) == limits.PAYLOAD_INLINE_BYTES_MAX


BAD_FIELDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "config of no stage": ({"config": payload_pb2.Payload(json=b'{"no":{}}')}, "INVALID_CONFIG", "config.no"),
    "config out of range": (
        {"config": payload_pb2.Payload(json=b'{"extract":{"max":0}}')},
        "INVALID_CONFIG",
        "config.extract.max",
    ),
    "config that is no object": ({"config": payload_pb2.Payload(json=b"[]")}, "INVALID_CONFIG", "config"),
    "config of deep nesting": (
        {"config": payload_pb2.Payload(json=b'{"extract":{"x":' + b"[" * 500 + b"]" * 500 + b"}}")},
        "MALFORMED_JSON",
        "config",
    ),
    "input without a body": ({"input": payload_pb2.Payload()}, "INVALID_FIELD", "input"),
    "priority": ({"priority": limits.PRIORITY_MAX + 1}, "INVALID_FIELD", "priority"),
    "negative version": ({"workflow_version": -1}, "INVALID_FIELD", "workflow_version"),
    "no workflow": ({"workflow_name": ""}, "INVALID_FIELD", "workflow_name"),
    "long workflow": (
        {"workflow_name": "w" * (limits.NAME_LENGTH_MAX + 1)},
        "INVALID_FIELD",
        "workflow_name",
    ),
    "null in the workflow": ({"workflow_name": "a\0b"}, "INVALID_FIELD", "workflow_name"),
    "null in the request id": ({"request_id": "a\0b"}, "INVALID_FIELD", "request_id"),
    "long request id": (
        {"request_id": "r" * (limits.REQUEST_ID_LENGTH_MAX + 1)},
        "INVALID_FIELD",
        "request_id",
    ),
    "null in a label": ({"labels": {"a": "\0"}}, "INVALID_FIELD", "labels"),
    "namespace": ({"namespace": "Not A Name"}, "INVALID_FIELD", "namespace"),
    "annotations": (
        {"annotations": [{"annotation_id": "a", "value": b"1"}]},
        "INVALID_FIELD",
        "annotations.0.key",
    ),
}


@pytest.mark.parametrize("case", BAD_FIELDS)
async def test_a_bad_field_is_named(server: Server, case: str) -> None:
    fields, reason, field = BAD_FIELDS[case]
    told = await refused_and_nothing_written(server, **fields)
    assert (told.code, told.reason, told.fields) == (INVALID, reason, [field])


async def test_an_unknown_workflow_is_not_found(server: Server) -> None:
    told = await refused_and_nothing_written(server, workflow_name="no-such")
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")
    assert told.metadata["workflow_name"] == "no-such"


async def test_an_unknown_version_is_not_found(server: Server) -> None:
    told = await refused_and_nothing_written(server, workflow_version=7)
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_VERSION_NOT_FOUND")


async def test_a_reference_to_nothing_is_not_found(server: Server) -> None:
    reference = payload_pb2.PayloadReference(sha256=b"\1" * 32, size_bytes=9)
    told = await refused_and_nothing_written(server, input=payload_pb2.Payload(reference=reference))
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "PAYLOAD_NOT_FOUND")
    assert told.metadata["sha256"] == "01" * 32


async def test_a_batch_takes_the_good_and_refuses_the_bad(server: Server) -> None:
    await server.register(documents())
    texts = [b'{"url":"a"}', b"{", b'{"url":"b"}']
    requests = [
        run_service_pb2.CreateRunRequest(workflow_name="documents", input=payload_pb2.Payload(json=text))
        for text in texts
    ]
    response = await server.runs.BatchCreateRuns(run_service_pb2.BatchCreateRunsRequest(requests=requests))
    assert [result.WhichOneof("result") for result in response.results] == ["created", "error", "created"]
    assert response.results[1].error.violations[0].field == "input"
    assert await server.run_count() == 2


async def test_a_batch_has_a_limit(server: Server) -> None:
    one = run_service_pb2.CreateRunRequest(workflow_name="documents")
    requests = [one] * (limits.RUNS_PER_REQUEST_MAX + 1)
    told = await refused(
        server.runs.BatchCreateRuns(run_service_pb2.BatchCreateRunsRequest(requests=requests))
    )
    assert (told.code, told.reason) == (EXHAUSTED, "LIMIT_EXCEEDED")
    assert told.metadata["actual"] == str(limits.RUNS_PER_REQUEST_MAX + 1)


async def test_an_empty_batch_and_a_foreign_item_are_refused(server: Server) -> None:
    batch = run_service_pb2.BatchCreateRunsRequest
    foreign = run_service_pb2.CreateRunRequest(namespace="other")
    assert (await refused(server.runs.BatchCreateRuns(batch()))).fields == ["requests"]
    told = await refused(server.runs.BatchCreateRuns(batch(requests=[foreign])))
    assert told.fields == ["requests.0.namespace"]


def two_of_one_id() -> definition_pb2.WorkflowDefinition:
    definition = documents()
    definition.groups[1].stages[1].id = "extract"
    return definition


def empty_group() -> definition_pb2.WorkflowDefinition:
    definition = documents()
    definition.groups.add()
    return definition


def no_schema() -> definition_pb2.WorkflowDefinition:
    definition = documents()
    definition.groups[0].stages[0].output_schema = b'{"type":"strin"}'
    return definition


def no_json() -> definition_pb2.WorkflowDefinition:
    definition = documents()
    definition.input_schema = b"\xff{"
    return definition


def later_dependency() -> definition_pb2.WorkflowDefinition:
    definition = documents()
    definition.groups[0].stages[0].dependencies.append("right")
    return definition


@pytest.mark.parametrize(
    ("make", "reason", "field"),
    [
        (two_of_one_id, "INVALID_DEFINITION", "definition.groups.1.stages.1.id"),
        (empty_group, "INVALID_DEFINITION", "definition.groups.2.stages"),
        (no_schema, "INVALID_DEFINITION", "definition.groups.0.stages.0.output_schema"),
        (no_json, "MALFORMED_JSON", "definition.input_schema"),
        (later_dependency, "INVALID_DEFINITION", "definition.groups.0.stages.0.dependencies.0"),
    ],
)
async def test_a_bad_definition_is_named_and_not_kept(
    server: Server, make: Any, reason: str, field: str
) -> None:
    told = await refused(server.register(make()))
    assert (told.code, told.reason) == (INVALID, reason)
    assert field in told.fields
    assert await server.ports.registry.get("default", "documents") is None


async def test_all_faults_of_a_definition_are_told_at_once(server: Server) -> None:
    definition = documents()
    definition.name = "No Name"
    definition.groups[0].stages[0].id = ""
    definition.groups[1].stages[0].retry_policy.max_attempts = -1
    told = await refused(server.register(definition))
    assert {"definition.name", "definition.groups.0.stages.0.id"} <= set(told.fields)
    assert "definition.groups.1.stages.0.retry_policy.max_attempts" in told.fields
    assert int(told.metadata["violation_count"]) == len(told.fields)
