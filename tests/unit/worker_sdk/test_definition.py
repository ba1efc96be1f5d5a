"""The message that registers a workflow, and the vectors that every worker must reproduce."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json, to_json

from stageline.v1 import definition_pb2
from stageline_sdk import Context, NoInput, RetryPolicy, StageTimeouts, Workflow, stage
from stageline_sdk._definition import definition_of
from stageline_sdk._payload import join_outputs
from tests.unit.worker_sdk.samples import Document, batch, document_processor

VECTORS = Path(__file__).parents[3] / "protos/testdata/input_assembly.json"
CASES = [
    case
    for case in json.loads(VECTORS.read_text())["cases"]
    if case["input_stage_ids"] and not case["accepts_any_input"]
]


def test_a_workflow_becomes_a_message() -> None:
    message = definition_of(document_processor)
    assert message.name == "document-processor"
    assert message.title == "Document Processor"
    assert message.description == "Reads documents."
    assert json.loads(message.input_schema)["required"] == ["url"]
    assert [[each.id for each in group.stages] for group in message.groups] == [
        ["extract-text"],
        ["sentiment", "keywords"],
        ["aggregate"],
    ]


def test_a_stage_becomes_a_message() -> None:
    message = definition_of(document_processor).groups[0].stages[0]
    assert message.name == "Extract Text"
    assert message.description == "Take the words out of a document."
    assert message.mode == definition_pb2.STAGE_MODE_SYNC
    assert json.loads(message.input_schema)["properties"]["url"]["type"] == "string"
    assert json.loads(message.output_schema)["properties"]["word_count"]["type"] == "integer"
    assert json.loads(message.config_schema)["properties"]["max_length"]["default"] == 50_000
    assert json.loads(message.default_config) == {"max_length": 50_000, "encoding": "utf-8"}
    assert not message.accepts_any_input


def test_what_is_left_open_is_left_to_the_server() -> None:
    message = definition_of(document_processor).groups[0].stages[0]
    assert not message.HasField("retry_policy")
    assert not message.HasField("timeouts")


def test_a_stage_that_reads_no_input_says_so() -> None:
    message = definition_of(document_processor).groups[2].stages[0]
    assert message.accepts_any_input
    assert message.input_schema == b""
    assert list(message.dependencies) == ["extract-text", "sentiment"]


def test_policies_are_written_in_full() -> None:
    @stage(
        "s",
        retry=RetryPolicy(
            max_attempts=7,
            initial_backoff=timedelta(0),
            max_backoff=timedelta(milliseconds=1500),
            backoff_factor=3,
            jitter=0,
            non_retryable_error_types=("ValueError",),
        ),
        timeout=StageTimeouts(start_to_close=timedelta(minutes=1), heartbeat=timedelta(seconds=5)),
    )
    async def configured(ctx: Context[NoInput]) -> None: ...

    message = definition_of(Workflow("w", input=NoInput).pipe(configured).build()).groups[0].stages[0]
    policy = message.retry_policy
    assert policy.max_attempts == 7
    assert policy.HasField("initial_backoff")
    assert policy.initial_backoff.ToTimedelta() == timedelta(0)
    assert policy.max_backoff.ToTimedelta() == timedelta(milliseconds=1500)
    assert policy.backoff_factor == 3
    assert policy.HasField("jitter")
    assert policy.jitter == 0
    assert list(policy.non_retryable_error_types) == ["ValueError"]
    assert message.timeouts.start_to_close.ToTimedelta() == timedelta(minutes=1)
    assert message.timeouts.heartbeat.ToTimedelta() == timedelta(seconds=5)
    assert not message.timeouts.HasField("schedule_to_start")


def test_an_async_batch_stage_says_its_mode() -> None:
    message = definition_of(Workflow("w", input=Document).pipe(batch).build()).groups[0].stages[0]
    assert message.mode == definition_pb2.STAGE_MODE_ASYNC_BATCH


def test_the_same_workflow_gives_the_same_bytes() -> None:
    first, second = definition_of(document_processor), definition_of(document_processor)
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_inputs_are_joined_as_the_vectors_say(case: dict[str, Any]) -> None:
    outputs = {stage_id: to_json(case["outputs"][stage_id]) for stage_id in case["input_stage_ids"]}
    assert from_json(join_outputs(outputs)) == case["input"]


def test_there_are_vectors() -> None:
    assert len(CASES) >= 5
