"""What is checked of a workflow definition: every fault at once, by the field's path; limits at n and n + 1."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from stageline_engine.definitions import check_definition, digest
from stageline_engine.limits import (
    ATTEMPTS_MAX,
    BACKOFF_FACTOR_MAX,
    DEFINITION_BYTES_MAX,
    DESCRIPTION_BYTES_MAX,
    ERROR_TYPE_LENGTH_MAX,
    ERROR_TYPES_MAX,
    NAME_LENGTH_MAX,
    RETRY_BACKOFF_MAX,
    SCHEMA_BYTES_MAX,
    STAGE_HEARTBEAT_MIN,
    STAGE_TIMEOUT_MAX,
    STAGES_PER_GROUP_MAX,
    STAGES_PER_WORKFLOW_MAX,
    TITLE_LENGTH_MAX,
)
from stageline_engine.model.definition import RetryPolicy, StageTimeouts, WorkflowDefinition
from stageline_engine.rejections import Reason
from stageline_engine.testing import stage, workflow

TICK = timedelta(microseconds=1)
GROUP, FIRST = "definition.groups.0.stages", "definition.groups.0.stages.0"


def faults(definition: WorkflowDefinition) -> list[str]:
    """Fields at fault; none where the definition is good."""
    rejection = check_definition(definition)
    return [violation.field for violation in rejection.violations] if rejection else []


def faults_of_stage(**fields: Any) -> list[str]:
    """Fields at fault in a workflow of one stage, without the path of the stage."""
    return [field.removeprefix(f"{FIRST}.") for field in faults(workflow("flow", stage("a", **fields)))]


def schema_of(size_bytes: int) -> str:
    start, end = '{"const":"', '"}'
    return start + "x" * (size_bytes - len(start) - len(end)) + end


def test_11_1_a_good_definition_has_no_fault() -> None:
    assert check_definition(workflow("flow", "a", ["b", "c"], stage("d", dependencies=("a", "b")))) is None


def test_11_1_4_an_unknown_or_later_dependency_is_named() -> None:
    definition = workflow("flow", stage("a", dependencies=("d", "nobody", "a")), "d")
    rejection = check_definition(definition)
    assert rejection is not None
    assert [violation.field for violation in rejection.violations] == [
        f"{FIRST}.dependencies.{position}" for position in range(3)
    ]
    told = [violation.description for violation in rejection.violations]
    assert "later group" in told[0]
    assert "'nobody'" in told[1]
    assert "itself" in told[2]


def test_11_1_5_a_sibling_is_no_dependency_and_an_earlier_stage_is() -> None:
    assert faults(workflow("flow", ["b", stage("c", dependencies=("b",))])) == [f"{GROUP}.1.dependencies.0"]
    assert faults(workflow("flow", "a", ["b", stage("c", dependencies=("a",))])) == []


def test_two_stages_of_one_id_and_an_empty_group_are_refused() -> None:
    assert faults(workflow("flow", "a", ["b", "a"])) == ["definition.groups.1.stages.1.id"]
    assert faults(workflow("flow", "a", [])) == ["definition.groups.1.stages"]
    assert faults(workflow("flow")) == ["definition.groups"]


def test_every_fault_is_told_at_once() -> None:
    broken = stage("UPPER", retry=RetryPolicy(max_attempts=0), output_schema="{", default_config="[]")
    assert faults(workflow("", broken, [])) == [
        "definition.name",
        "definition.groups.1.stages",
        f"{FIRST}.id",
        f"{FIRST}.retry_policy.max_attempts",
        f"{FIRST}.output_schema",
        f"{FIRST}.default_config",
    ]


@pytest.mark.parametrize("name", ["a", "0", "a-b_c.d", "a" * NAME_LENGTH_MAX])
def test_names_that_are_names(name: str) -> None:
    assert faults(workflow(name, name)) == []


@pytest.mark.parametrize(
    "name", ["", "A", "ü", "-a", "a-", ".a", "a b", "a\n", "a\0b", "a/b", "a" * (NAME_LENGTH_MAX + 1)]
)
def test_names_that_are_not(name: str) -> None:
    assert faults(workflow(name, stage(name, name=""))) == ["definition.name", f"{FIRST}.id"]


def test_groups_and_workflows_have_a_number_of_stages() -> None:
    def ids(count: int, prefix: str) -> list[str]:
        return [f"{prefix}{n}" for n in range(count)]

    full = ids(STAGES_PER_GROUP_MAX, "a")
    assert faults(workflow("flow", full)) == []
    rejection = check_definition(workflow("flow", [*full, "one-more"]))
    assert rejection is not None
    assert (rejection.reason, rejection.violations[0].field) == (Reason.LIMIT_EXCEEDED, GROUP)
    assert str(STAGES_PER_GROUP_MAX) in rejection.violations[0].description
    groups = [
        ids(STAGES_PER_GROUP_MAX, f"g{n}-") for n in range(STAGES_PER_WORKFLOW_MAX // STAGES_PER_GROUP_MAX)
    ]
    assert faults(workflow("flow", *groups)) == []
    assert faults(workflow("flow", *groups, "one-more")) == ["definition.groups"]


def test_titles_and_descriptions_have_a_size() -> None:
    good = {"name": "n" * TITLE_LENGTH_MAX, "description": "d" * DESCRIPTION_BYTES_MAX}
    assert faults_of_stage(**good) == []
    assert faults_of_stage(name=good["name"] + "n") == ["name"]
    assert faults_of_stage(description=good["description"] + "d") == ["description"]
    assert faults_of_stage(description="ü" * (DESCRIPTION_BYTES_MAX // 2 + 1)) == ["description"]
    assert faults_of_stage(name="\0", description="\0") == ["name", "description"]
    titled = workflow("flow", "a", title="t" * (TITLE_LENGTH_MAX + 1))
    assert faults(titled) == ["definition.title"]


def test_schemas_have_a_size_and_must_be_schemas() -> None:
    assert faults_of_stage(output_schema=schema_of(SCHEMA_BYTES_MAX)) == []
    rejection = check_definition(workflow("flow", stage("a", output_schema=schema_of(SCHEMA_BYTES_MAX + 1))))
    assert rejection is not None
    assert rejection.reason is Reason.PAYLOAD_TOO_LARGE
    assert faults_of_stage(output_schema='{"type": "nonsense"}') == ["output_schema"]
    assert faults_of_stage(config_schema="{") == ["config_schema"]
    assert faults(workflow("flow", "a", input_schema="{")) == ["definition.input_schema"]


def test_a_definition_has_a_size_as_a_whole() -> None:
    count = DEFINITION_BYTES_MAX // SCHEMA_BYTES_MAX
    stages = [stage(f"s{n}", output_schema=schema_of(SCHEMA_BYTES_MAX)) for n in range(count)]
    rejection = check_definition(workflow("flow", stages))
    assert rejection is not None
    assert (rejection.reason, rejection.metadata["limit_bytes"]) == (
        Reason.PAYLOAD_TOO_LARGE,
        str(DEFINITION_BYTES_MAX),
    )
    assert check_definition(workflow("flow", stages[:-1])) is None


def test_defaults_must_fit_their_schema_unless_a_run_must_bring_more() -> None:
    schema = '{"type":"object","properties":{"n":{"type":"integer"}}}'
    assert faults_of_stage(config_schema=schema, default_config='{"n":1}') == []
    assert faults_of_stage(config_schema=schema, default_config='{"n":"x"}') == ["default_config.n"]
    needy = schema[:-1] + ',"required":["n"]}'
    assert faults_of_stage(config_schema=needy, default_config="{}") == []


@pytest.mark.parametrize(
    ("good", "bad", "field"),
    [
        ({"max_attempts": ATTEMPTS_MAX}, {"max_attempts": ATTEMPTS_MAX + 1}, "max_attempts"),
        ({"max_attempts": 1}, {"max_attempts": 0}, "max_attempts"),
        (
            {"initial_backoff": RETRY_BACKOFF_MAX},
            {"initial_backoff": RETRY_BACKOFF_MAX + TICK},
            "initial_backoff",
        ),
        ({"initial_backoff": timedelta()}, {"initial_backoff": -TICK}, "initial_backoff"),
        ({"max_backoff": RETRY_BACKOFF_MAX}, {"max_backoff": RETRY_BACKOFF_MAX + TICK}, "max_backoff"),
        ({"backoff_factor": BACKOFF_FACTOR_MAX}, {"backoff_factor": 10.1}, "backoff_factor"),
        ({"backoff_factor": 1.0}, {"backoff_factor": float("nan")}, "backoff_factor"),
        ({"jitter": 1.0}, {"jitter": 1.01}, "jitter"),
        ({"jitter": 0.0}, {"jitter": -0.01}, "jitter"),
        (
            {"non_retryable_error_types": ("E",) * ERROR_TYPES_MAX},
            {"non_retryable_error_types": ("E",) * (ERROR_TYPES_MAX + 1)},
            "non_retryable_error_types",
        ),
        (
            {"non_retryable_error_types": ("E" * ERROR_TYPE_LENGTH_MAX,)},
            {"non_retryable_error_types": ("E" * (ERROR_TYPE_LENGTH_MAX + 1),)},
            "non_retryable_error_types.0",
        ),
        (
            {"non_retryable_error_types": ("a.B",)},
            {"non_retryable_error_types": ("",)},
            "non_retryable_error_types.0",
        ),
    ],
)
def test_retry_policies_have_limits(good: dict[str, Any], bad: dict[str, Any], field: str) -> None:
    assert faults_of_stage(retry=replace(RetryPolicy(), **good)) == []
    assert faults_of_stage(retry=replace(RetryPolicy(), **bad)) == [f"retry_policy.{field}"]


@pytest.mark.parametrize("field", ["schedule_to_start", "start_to_close", "heartbeat"])
def test_timeouts_have_limits(field: str) -> None:
    least = STAGE_HEARTBEAT_MIN if field == "heartbeat" else TICK
    for good in (least, STAGE_TIMEOUT_MAX, None):
        assert faults_of_stage(timeouts=StageTimeouts(**{field: good})) == []
    for bad in (least - TICK, STAGE_TIMEOUT_MAX + TICK):
        assert faults_of_stage(timeouts=StageTimeouts(**{field: bad})) == [f"timeouts.{field}"]


def test_a_stage_that_takes_any_input_has_no_schema_for_it() -> None:
    assert faults_of_stage(accepts_any_input=True) == []
    assert faults_of_stage(accepts_any_input=True, input_schema="{}") == ["input_schema"]


def test_the_digest_is_of_the_meaning() -> None:
    def with_schema(text: str) -> str:
        return digest(workflow("flow", stage("a", output_schema=text)))

    assert with_schema('{"a": 1, "b": [2]}') == with_schema('{"b":[2],"a":1}')
    assert with_schema('{"a": 1}') != with_schema('{"a": 2}')
    assert digest(workflow("flow", "a", "b")) != digest(workflow("flow", ["a", "b"]))
    assert digest(workflow("flow", "a")) == digest(workflow("flow", "a"))
    assert len(digest(workflow("flow", "a"))) == 64
