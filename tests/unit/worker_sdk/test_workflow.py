"""Workflows: what the plan says, and what is refused when it is built. Numbers are those of the scenarios."""

# mypy: disable-error-code="empty-body"

import dataclasses
from typing import Any

import pytest
from pydantic import BaseModel

from stageline_sdk import (
    BuiltWorkflow,
    ConfigError,
    Context,
    DefinitionError,
    DuplicateStageIdError,
    EmptyGroupError,
    EmptyWorkflowError,
    IncompatibleSchemaError,
    MissingCheckError,
    NoInput,
    Stage,
    Suspended,
    TooManyStagesError,
    UnknownDependencyError,
    UnknownStageError,
    Workflow,
    stage,
)
from tests.unit.worker_sdk.samples import (
    Document,
    aggregate,
    document_processor,
    extract_text,
    keywords,
    sentiment,
)


def step(stage_id: str, dependencies: list[str] | None = None) -> Stage[NoInput, int, Any]:
    @stage(stage_id, dependencies=dependencies or [])
    def numbered(ctx: Context[NoInput]) -> int:
        return 1

    return numbered


def described(workflow: BuiltWorkflow[Any, Any]) -> list[tuple[str, int, int]]:
    return [(planned.stage.id, planned.number, planned.group) for planned in workflow.plan]


def test_11_1_01_piped_stages_are_groups_and_numbers_in_order() -> None:
    built = Workflow("w", input=NoInput).pipe(step("a")).pipe(step("b")).build()
    assert [[s.id for s in group] for group in built.groups] == [["a"], ["b"]]
    assert described(built) == [("a", 1, 1), ("b", 2, 2)]


def test_11_1_02_parallel_stages_share_a_group() -> None:
    built = (
        Workflow("w", input=NoInput).pipe(step("a")).parallel(step("b"), step("c")).pipe(step("d")).build()
    )
    assert described(built) == [("a", 1, 1), ("b", 2, 2), ("c", 3, 2), ("d", 4, 3)]
    assert built.stage_ids == ("a", "b", "c", "d")


@pytest.mark.parametrize("later", [[], ["later"]], ids=["missing", "later"])
def test_11_1_04_a_dependency_that_is_not_earlier_is_refused(later: list[str]) -> None:
    builder = (
        Workflow("w", input=NoInput).pipe(step("first")).pipe(step("middle", ["first", "later", "never"]))
    )
    for stage_id in later:
        builder = builder.pipe(step(stage_id))
    with pytest.raises(UnknownDependencyError) as raised:
        builder.build()
    assert raised.value.stage_id == "middle"
    assert raised.value.missing == ("later", "never")
    assert raised.value.available == ("first",)
    assert "stage 'middle' of group 2 (middle) depends on later, never" in str(raised.value)
    assert "Earlier stages: first" in str(raised.value)


def test_11_1_05_a_sibling_cannot_be_a_dependency() -> None:
    builder = Workflow("w", input=NoInput).pipe(step("a")).parallel(step("b"), step("c", ["b"]))
    with pytest.raises(UnknownDependencyError) as raised:
        builder.build()
    assert "parallel group 2 (b, c)" in str(raised.value)
    assert "b is in the same group" in str(raised.value)


def test_11_1_05_an_earlier_stage_can() -> None:
    built = Workflow("w", input=NoInput).pipe(step("a")).parallel(step("b"), step("c", ["a"])).build()
    assert built.get_stage("c").dependencies == ("a",)


def test_a_stage_cannot_depend_on_itself() -> None:
    with pytest.raises(UnknownDependencyError, match="depends on a"):
        Workflow("w", input=NoInput).pipe(step("a", ["a"])).build()


def test_11_1_07_default_config_is_by_stage() -> None:
    assert document_processor.default_config() == {
        "extract-text": {"max_length": 50_000, "encoding": "utf-8"},
        "sentiment": {},
        "keywords": {},
        "aggregate": {},
    }


class Strict(BaseModel):
    size: int
    mode: str = "fast"


class Lenient(BaseModel):
    depth: int = 1


@stage("defaults")
def only_defaults(ctx: Context[NoInput, Lenient]) -> int:
    return ctx.config.depth


def test_11_1_08_all_config_errors_are_told_at_once() -> None:
    @stage("one")
    def one(ctx: Context[NoInput, Strict]) -> int: ...
    @stage("two")
    def two(ctx: Context[NoInput, Strict]) -> int: ...

    built = Workflow("w", input=NoInput).pipe(one).pipe(two).pipe(only_defaults).build()
    config = {"one": {"size": "big", "mode": 3}, "sentimnet": {}, "two": {}}
    with pytest.raises(ConfigError) as raised:
        built.validate_config(config)
    assert [violation.field for violation in raised.value.violations] == [
        "config.sentimnet",
        "config.one.size",
        "config.one.mode",
        "config.two.size",
    ]
    assert "its stages are: one, two, defaults" in str(raised.value)
    assert "config.two.size: Field required" in str(raised.value)


def test_config_that_fits_passes_and_may_leave_stages_out() -> None:
    document_processor.validate_config({})
    document_processor.validate_config({"extract-text": {"max_length": 3}})
    assert document_processor.config_violations({"extract-text": {"max_length": 0}})[0].field == (
        "config.extract-text.max_length"
    )


def test_config_for_a_stage_without_config_is_refused() -> None:
    [violation] = document_processor.config_violations({"sentiment": {"model": "x"}})
    assert violation.field == "config.sentiment.model"


def test_duplicate_ids_are_refused() -> None:
    with pytest.raises(
        DuplicateStageIdError, match="two stages of the id 'a', in group 1 and group 2"
    ) as raised:
        Workflow("w", input=NoInput).pipe(step("a")).parallel(step("b"), step("a")).build()
    assert raised.value.stage_id == "a"


def test_the_same_stage_twice_is_a_duplicate() -> None:
    a = step("a")
    with pytest.raises(DuplicateStageIdError):
        Workflow("w", input=NoInput).parallel(a, a).build()


def test_an_empty_group_is_refused() -> None:
    with pytest.raises(EmptyGroupError, match=r"workflow 'w': parallel\(\) needs at least one stage"):
        Workflow("w", input=NoInput).pipe(step("a")).parallel()


def test_a_workflow_without_stages_is_refused() -> None:
    with pytest.raises(EmptyWorkflowError, match=r"workflow 'w' has no stage: add one with \.pipe"):
        Workflow("w", input=NoInput).build()


def test_what_is_not_a_stage_is_refused() -> None:
    def plain(ctx: Context[NoInput]) -> int: ...

    with pytest.raises(DefinitionError, match="is not a stage: decorate it"):
        Workflow("w", input=NoInput).pipe(plain)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match=r"write \.parallel\(\*stages\)"):
        Workflow("w", input=NoInput).parallel([step("a")])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "My Workflow", "a\x00", "a" * 129, None])
def test_a_bad_name_is_refused(name: Any) -> None:
    with pytest.raises(DefinitionError, match="1 to 128 characters"):
        Workflow(name, input=NoInput)


def test_an_async_batch_stage_without_a_check_is_refused() -> None:
    @stage("submit", mode="async-batch")
    def submit(ctx: Context[NoInput]) -> Suspended: ...

    with pytest.raises(MissingCheckError, match="stage 'submit' is async-batch but nothing asks"):
        Workflow("w", input=NoInput).pipe(submit).build()


def test_a_group_holds_a_thousand_stages_and_not_one_more() -> None:
    stages = [step(f"s{number}") for number in range(1_001)]
    built = Workflow("w", input=NoInput).parallel(*stages[:1_000]).build()
    assert len(built.stages) == 1_000
    with pytest.raises(TooManyStagesError, match="may hold 1000 stages, got 1001"):
        Workflow("w", input=NoInput).parallel(*stages)


def test_a_workflow_holds_two_thousand_stages_and_not_one_more() -> None:
    stages = [step(f"s{number}") for number in range(2_001)]
    full = Workflow("w", input=NoInput).parallel(*stages[:1_000]).parallel(*stages[1_000:2_000])
    assert len(full.build().stages) == 2_000
    with pytest.raises(TooManyStagesError, match="may hold 2000 stages, got 2001") as raised:
        full.pipe(stages[2_000]).build()
    assert (raised.value.count, raised.value.limit) == (2_001, 2_000)


def test_texts_and_schemas_have_limits() -> None:
    class Huge(BaseModel):
        """A model with a long description."""

    Huge.__doc__ = "d" * 131_072
    Huge.model_rebuild(force=True)

    with pytest.raises(DefinitionError, match="description may have 16384 bytes, got 16385"):
        Workflow("w", input=NoInput, description="d" * 16_385).pipe(step("a")).build()
    with pytest.raises(DefinitionError, match="title may have 255 characters, got 256"):
        Workflow("w", input=NoInput, title="t" * 256).pipe(step("a")).build()
    with pytest.raises(DefinitionError, match="its input schema may have 131072 bytes as JSON, got 131"):
        Workflow("w", input=Huge).pipe(step("a")).build()


def test_a_stage_that_cannot_read_the_run_input_is_refused() -> None:
    with pytest.raises(IncompatibleSchemaError) as raised:
        Workflow("w", input=Document).pipe(keywords).build()  # type: ignore[arg-type]
    assert raised.value.stage_id == "keywords"
    assert "cannot read the run's input" in str(raised.value)
    assert [problem.split(":")[0] for problem in raised.value.problems] == ["text", "word_count"]


def test_a_workflow_without_input_cannot_feed_a_stage() -> None:
    with pytest.raises(IncompatibleSchemaError, match=r"have no input \(input=NoInput\)"):
        Workflow("w", input=NoInput).pipe(extract_text).build()  # type: ignore[arg-type]


def test_a_stage_that_cannot_read_the_group_before_is_refused() -> None:
    class Wanted(BaseModel):
        sentiment: str
        language: str

    @stage("wants")
    def wants(ctx: Context[Wanted]) -> int: ...

    builder = Workflow("w", input=Document).pipe(extract_text).parallel(sentiment, keywords).pipe(wants)
    with pytest.raises(IncompatibleSchemaError) as raised:
        builder.build()
    assert "stage 'wants' of group 3 cannot read group 2 (sentiment, keywords)" in str(raised.value)
    assert raised.value.problems == (
        "language: no stage of the group before has this id",
        "sentiment: the stage before gives number, it expects string",
    )


def test_a_builder_is_not_changed_by_its_calls() -> None:
    base = Workflow("w", input=Document).pipe(extract_text)
    one = base.pipe(sentiment).build()
    two = base.pipe(keywords).build()
    assert one.stage_ids == ("extract-text", "sentiment")
    assert two.stage_ids == ("extract-text", "keywords")
    assert base.build().stage_ids == ("extract-text",)


def test_a_built_workflow_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        document_processor.name = "other"  # type: ignore[misc]
    assert isinstance(document_processor.groups, tuple)


def test_stages_are_found_by_id() -> None:
    assert document_processor.get_stage("aggregate") is aggregate
    assert document_processor.locate("keywords").number == 3
    assert document_processor.has_stage("sentiment")
    assert not document_processor.has_stage("nope")
    with pytest.raises(UnknownStageError) as raised:
        document_processor.get_stage("nope")
    assert str(raised.value) == (
        "workflow 'document-processor' has no stage 'nope'; "
        "its stages are: extract-text, sentiment, keywords, aggregate"
    )
    assert raised.value.available == document_processor.stage_ids


def test_the_output_schema_is_that_of_the_last_group() -> None:
    assert document_processor.output_schema == aggregate.output_schema
    ends_wide = Workflow("w", input=Document).parallel(extract_text, step("count")).build()
    schema = ends_wide.output_schema
    assert schema["required"] == ["extract-text", "count"]
    assert schema["$defs"]["extract-text"]["properties"]["text"]["type"] == "string"


def test_references_in_a_joined_schema_lead_somewhere() -> None:
    class Leaf(BaseModel):
        value: int

    class Tree(BaseModel):
        leaves: list[Leaf]

    @stage("tree")
    def tree(ctx: Context[NoInput]) -> Tree: ...

    schema = Workflow("w", input=NoInput).parallel(tree, step("b")).build().output_schema
    reference = schema["$defs"]["tree"]["properties"]["leaves"]["items"]["$ref"]
    target: Any = schema
    for part in reference.removeprefix("#/").split("/"):
        target = target[part]
    assert target["properties"]["value"]["type"] == "integer"


def test_representations_show_the_plan() -> None:
    assert repr(document_processor) == (
        "BuiltWorkflow('document-processor': [extract-text] -> [sentiment, keywords] -> [aggregate])"
    )
    assert (
        repr(Workflow("w", input=Document).pipe(extract_text)) == "Workflow('w': [extract-text]; not built)"
    )
