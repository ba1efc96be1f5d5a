"""Definitions from and to their messages, and what is wrong with one."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from stageline.v1 import definition_pb2
from stageline_engine.definitions import check_definition, digest
from stageline_engine.model.definition import (
    RegisteredWorkflow,
    RetryPolicy,
    StageDefinition,
    StageMode,
    StageTimeouts,
    WorkflowDefinition,
)
from stageline_engine.rejections import Reason
from stageline_server.mapping.definitions import DefinitionReader, workflow_message

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVERYTHING = WorkflowDefinition(
    name="documents",
    title="Documents",
    description="Reads them.",
    input_schema='{"type":"object"}',
    output_schema='{"type":"array"}',
    groups=(
        (StageDefinition(id="a", name="A"),),
        (
            StageDefinition(
                id="b",
                name="B",
                description="Second.",
                mode=StageMode.ASYNC_BATCH,
                output_schema='{"type":"string"}',
                config_schema='{"type":"object"}',
                default_config='{"x":1}',
                accepts_any_input=True,
                dependencies=("a",),
                retry=RetryPolicy(7, timedelta(0), timedelta(hours=1), 1.5, 0.0, ("ValueError",)),
                timeouts=StageTimeouts(timedelta(days=1), timedelta(minutes=3), timedelta(seconds=2)),
            ),
            StageDefinition(id="c", name="C", input_schema="true"),
        ),
    ),
)


def message_of(definition: WorkflowDefinition) -> definition_pb2.WorkflowDefinition:
    routes = tuple(range(len(definition.stages)))
    workflow = RegisteredWorkflow("default", 3, "ab" * 32, definition, NOW, routes)
    return workflow_message(workflow).definition


def test_nothing_is_lost_on_the_way_out_and_in() -> None:
    reader = DefinitionReader()
    assert reader.read(message_of(EVERYTHING)) == EVERYTHING
    assert reader.faults == []
    assert check_definition(EVERYTHING) is None


def test_defaults_are_filled_in() -> None:
    stage_message = definition_pb2.StageDefinition(id="a", dependencies=["x", "x"])
    group = definition_pb2.StageGroup(stages=[stage_message])
    message = definition_pb2.WorkflowDefinition(name="w", groups=[group])
    (stage,) = DefinitionReader().read(message).stages
    assert stage == StageDefinition(id="a", name="a", dependencies=("x",))


def test_a_duration_that_is_too_long_is_a_fault_and_not_a_crash() -> None:
    message = message_of(EVERYTHING)
    message.groups[0].stages[0].timeouts.start_to_close.CopyFrom(Duration(seconds=2**62))
    message.groups[0].stages[0].retry_policy.max_backoff.CopyFrom(Duration(seconds=-(2**62)))
    reader = DefinitionReader()
    rejection = check_definition(reader.read(message), reader.faults)
    assert rejection is not None
    assert [violation.field for violation in rejection.violations] == [
        "definition.groups.0.stages.0.retry_policy.max_backoff",
        "definition.groups.0.stages.0.timeouts.start_to_close",
    ]


def test_what_is_no_utf8_and_no_mode_is_told_with_the_rest() -> None:
    message = message_of(EVERYTHING)
    message.groups[1].stages[0].config_schema = b"\xff"
    message.groups[1].stages[1].mode = 99  # type: ignore[assignment]
    message.name = ""
    reader = DefinitionReader()
    rejection = check_definition(reader.read(message), reader.faults)
    assert rejection is not None
    assert rejection.reason is Reason.INVALID_DEFINITION
    assert {violation.field for violation in rejection.violations} == {
        "definition.groups.1.stages.0.config_schema",
        "definition.groups.1.stages.1.mode",
        "definition.name",
    }


def test_the_outline_holds_ids_names_and_modes_only() -> None:
    workflow = RegisteredWorkflow("default", 1, digest(EVERYTHING), EVERYTHING, NOW, (1, 2, 3))
    outline = workflow_message(workflow, outline=True)
    assert outline.digest == bytes.fromhex(digest(EVERYTHING))
    stage = outline.definition.groups[1].stages[0]
    assert stage == definition_pb2.StageDefinition(
        id="b", name="B", mode=definition_pb2.STAGE_MODE_ASYNC_BATCH
    )


@pytest.mark.parametrize("mode", list(StageMode))
def test_every_mode_has_a_number(mode: StageMode) -> None:
    definition = WorkflowDefinition("w", ((StageDefinition("a", name="a", mode=mode),),))
    assert DefinitionReader().read(message_of(definition)).stages[0].mode is mode
