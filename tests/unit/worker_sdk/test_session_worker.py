"""What a worker can be made with."""

from datetime import timedelta

import pytest

from stageline_sdk import Context, DefinitionError, NoInput, Worker, Workflow, stage
from tests.unit.worker_sdk.samples import document_processor


@stage("nothing")
def nothing(ctx: Context[NoInput]) -> None:
    return None


OTHER = Workflow("other", input=NoInput).pipe(nothing).build()


def test_the_defaults() -> None:
    worker = Worker(document_processor, OTHER)
    assert (worker.name, worker.namespace, worker.concurrency) == (document_processor.name, "default", 16)
    assert worker.drain_timeout == timedelta(seconds=30)


def test_a_worker_needs_a_workflow() -> None:
    with pytest.raises(DefinitionError, match="at least one workflow"):
        Worker()


def test_a_workflow_that_is_not_built_is_refused() -> None:
    unbuilt = Workflow("other", input=NoInput).pipe(nothing)
    with pytest.raises(DefinitionError, match=r"is \.build\(\) missing"):
        Worker(unbuilt)  # type: ignore[arg-type]  # the mistake


def test_two_workflows_of_one_name_are_refused() -> None:
    with pytest.raises(DefinitionError, match="given twice: other"):
        Worker(OTHER, OTHER)


@pytest.mark.parametrize("concurrency", [0, -1, 10_001])
def test_concurrency_has_bounds(concurrency: int) -> None:
    with pytest.raises(DefinitionError, match=rf"1 to 10,000, got {concurrency}"):
        Worker(OTHER, concurrency=concurrency)


@pytest.mark.parametrize("concurrency", [1, 10_000])
def test_concurrency_may_be_at_its_bounds(concurrency: int) -> None:
    assert Worker(OTHER, concurrency=concurrency).concurrency == concurrency


def test_a_name_has_a_longest_length() -> None:
    assert Worker(OTHER, name="x" * 128).name == "x" * 128
    with pytest.raises(DefinitionError, match="128 characters, got 129"):
        Worker(OTHER, name="x" * 129)


def test_a_command_line_replaces_some_settings() -> None:
    worker = Worker(OTHER, labels={"zone": "a"}, namespace="team", build_id="7")
    changed = worker.configured(concurrency=3, name="other-name")
    assert (changed.concurrency, changed.name) == (3, "other-name")
    assert (changed.namespace, changed.labels, changed.build_id) == ("team", {"zone": "a"}, "7")
    assert worker.concurrency == 16
    with pytest.raises(DefinitionError, match="concurrency"):
        worker.configured(concurrency=0)


def test_a_worker_may_leave_stages_to_others() -> None:
    worker = Worker(OTHER, document_processor, stages=[nothing, document_processor.stage_ids[0]])
    assert worker.stage_ids == frozenset({"nothing", document_processor.stage_ids[0]})
    assert worker.configured(concurrency=3).stage_ids == worker.stage_ids
    assert Worker(OTHER).stage_ids is None


def test_a_stage_that_no_workflow_has_is_refused() -> None:
    with pytest.raises(DefinitionError, match="has a stage 'notihng'"):
        Worker(OTHER, stages=["nothing", "notihng"])


def test_a_workflow_without_a_stage_to_run_is_refused() -> None:
    with pytest.raises(DefinitionError, match="no stage of workflow 'other'"):
        Worker(OTHER, document_processor, stages=document_processor.stage_ids)
