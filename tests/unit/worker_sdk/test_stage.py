"""A stage is what its function's annotations say, and a mistake in them is met at once."""

# mypy: disable-error-code="empty-body"

import functools
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import pytest
from pydantic import AliasChoices, BaseModel, Field, SecretStr, computed_field
from typing_extensions import TypedDict

from stageline_sdk import (
    Context,
    DefinitionError,
    InvalidStageIdError,
    MissingCheckError,
    NoConfig,
    NoInput,
    RetryPolicy,
    StageTimeouts,
    StillWaiting,
    Suspended,
    stage,
)
from tests.unit.worker_sdk.samples import (
    BatchState,
    Document,
    ExtractConfig,
    Extracted,
    batch,
    check_batch,
    extract_text,
    sentiment,
)


def test_types_come_from_the_annotations() -> None:
    assert extract_text.input_type is Document
    assert extract_text.config_type is ExtractConfig
    assert extract_text.output_type is Extracted
    assert extract_text.executor == "loop"
    assert sentiment.config_type is NoConfig
    assert sentiment.output_type is float
    assert sentiment.executor == "thread"


def test_options_have_defaults() -> None:
    assert extract_text.name == "Extract Text"
    assert extract_text.description == "Take the words out of a document."
    assert extract_text.mode == "sync"
    assert extract_text.dependencies == ()
    assert extract_text.retry is None
    assert extract_text.timeouts is None


def test_options_are_kept() -> None:
    @stage(
        "a",
        name="The A",
        description="Does a.",
        dependencies=[extract_text, "b", extract_text],
        retry=RetryPolicy(max_attempts=1),
        timeout=timedelta(seconds=5),
        executor="thread",
    )
    def a(ctx: Context[NoInput]) -> None: ...

    assert (a.name, a.description, a.executor) == ("The A", "Does a.", "thread")
    assert a.dependencies == ("extract-text", "b")
    assert a.retry == RetryPolicy(max_attempts=1)
    assert a.timeouts == StageTimeouts(start_to_close=timedelta(seconds=5))


def test_schemas_are_those_of_the_models() -> None:
    assert extract_text.input_schema["required"] == ["url"]
    assert extract_text.config_schema["properties"]["max_length"]["minimum"] == 1
    assert extract_text.output_schema["properties"]["word_count"]["type"] == "integer"


class Point(TypedDict):
    x: int


@dataclass
class Size:
    width: int


@pytest.mark.parametrize(
    ("kind", "schema_type"),
    [
        (int, "integer"),
        (list[str], "array"),
        (dict[str, int], "object"),
        (None, "null"),
        (Point, "object"),
        (Size, "object"),
    ],
)
def test_an_output_may_be_of_any_type_that_pydantic_knows(kind: Any, schema_type: str) -> None:
    def produce(ctx: Context[NoInput]) -> Any: ...

    produce.__annotations__["return"] = kind
    assert stage("a")(produce).output_schema["type"] == schema_type


def test_an_output_of_a_model_is_described_as_it_is_written() -> None:
    class Written(BaseModel):
        count: int = 1

        @computed_field
        def double(self) -> int:
            return self.count * 2

    @stage("a")
    def a(ctx: Context[NoInput]) -> Written: ...

    assert a.output_schema["properties"]["double"]["type"] == "integer"


def test_no_input_accepts_anything() -> None:
    @stage("a")
    def a(ctx: Context[NoInput]) -> None: ...

    assert a.accepts_any_input
    assert a.input_schema == {}


def test_annotations_may_be_strings_and_local() -> None:
    class Local(BaseModel):
        text: str

    @stage("a")
    def a(ctx: "Context[Local]") -> "Local":
        return ctx.input

    assert a.input_type is Local
    assert a.output_type is Local


def test_annotated_types_keep_their_constraints() -> None:
    @stage("a")
    def a(ctx: Context[Annotated[int, Field(ge=3)]]) -> int:
        return ctx.input

    assert a.input_schema["minimum"] == 3


@pytest.mark.parametrize(
    "stage_id", ["", "Extract", "-a", "a-", "a b", "a/b", "a\x00b", "é", "a" * 129, None, 3], ids=repr
)
def test_a_bad_id_is_refused_with_the_rule(stage_id: Any) -> None:
    with pytest.raises(
        InvalidStageIdError, match="1 to 128 characters: lower-case letters, digits"
    ) as raised:
        stage(stage_id)
    assert "\x00" not in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("stage_id", ["a", "0", "extract-text", "a.b_c-9", "a" * 128])
def test_a_good_id_is_accepted(stage_id: str) -> None:
    @stage(stage_id)
    def a(ctx: Context[NoInput]) -> None: ...

    assert a.id == stage_id


def test_a_bad_id_comes_with_one_that_would_do() -> None:
    with pytest.raises(InvalidStageIdError, match="for example 'extract-text'"):
        stage("Extract Text")


def test_the_decorator_needs_its_id() -> None:
    with pytest.raises(DefinitionError, match=r'write @stage\("my-stage"\), not @stage'):
        stage(lambda ctx: None)  # type: ignore[arg-type]


def no_annotation(ctx) -> int: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def no_return(ctx: Context[NoInput]): ...  # type: ignore[no-untyped-def]
def no_parameter() -> int: ...
def two_parameters(ctx: Context[NoInput], more: int) -> int: ...
def keyword_only(*, ctx: Context[NoInput]) -> int: ...
def method(self: Any) -> int: ...
def not_a_context(ctx: Document) -> int: ...
def bare_context(ctx: Context) -> int: ...  # type: ignore[type-arg]
def config_no_model(ctx: Context[NoInput, int]) -> int: ...  # type: ignore[type-var]
def unknown_name(ctx: "Context[Nowhere]") -> int: ...  # type: ignore[name-defined]  # noqa: F821
def awaitable(ctx: Context[NoInput]) -> Awaitable[int]: ...
def unreadable(ctx: Context[pytest.Item]) -> int: ...
def suspends(ctx: Context[NoInput]) -> Suspended: ...


async def yields(ctx: Context[NoInput]) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_annotation, "parameter 'ctx' has no annotation"),
        (no_return, "its return type has no annotation"),
        (no_parameter, "takes no parameter"),
        (two_parameters, r"takes more than `ctx` \(more\)"),
        (keyword_only, "not positional"),
        (method, "is a method"),
        (not_a_context, "must be a Context"),
        (bare_context, r"Context\[NoInput\]"),
        (config_no_model, "its config must be a pydantic model"),
        (unknown_name, "Nowhere.*TYPE_CHECKING"),
        (awaitable, "make it `async def`"),
        (unreadable, "pydantic cannot read or write Item"),
        (suspends, 'say mode="async-batch"'),
        (yields, "yields"),
        (Document, "not Document"),
        (functools.partial(no_return), "plain `def`"),
    ],
)
def test_a_bad_function_is_refused_where_it_is_decorated(function: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as raised:
        stage("my-stage")(function)
    assert "'my-stage'" in str(raised.value) or "Item" in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "async"}, 'mode must be "sync" or "async-batch"'),
        ({"executor": "gpu"}, 'executor must be "thread" or "process"'),
        ({"dependencies": "extract-text"}, "dependencies must be a list"),
        ({"dependencies": ["Not An Id"]}, "'Not An Id' is not valid"),
        ({"name": "n" * 256}, "name may have 255 characters, got 256"),
        ({"description": "d" * 16_385}, "description may have 16384 bytes, got 16385"),
    ],
)
def test_a_bad_option_is_refused(options: dict[str, Any], message: str) -> None:
    def a(ctx: Context[NoInput]) -> None: ...

    with pytest.raises(DefinitionError, match=message):
        stage("a", **options)(a)


def test_an_async_function_runs_on_the_loop_only() -> None:
    async def a(ctx: Context[NoInput]) -> None: ...

    with pytest.raises(DefinitionError, match=r'not with executor="process"'):
        stage("a", executor="process")(a)


def test_a_process_needs_a_function_that_it_can_import() -> None:
    def a(ctx: Context[NoInput]) -> None: ...

    with pytest.raises(DefinitionError, match="at the top of a module"):
        stage("a", executor="process")(a)


def test_a_stage_does_not_change() -> None:
    with pytest.raises(AttributeError):
        extract_text.id = "other"  # type: ignore[misc]


def test_default_config_is_that_of_the_models_own_fields() -> None:
    class Inner(BaseModel):
        depth: int = 2

    class Config(BaseModel):
        required: int
        plain: str = "x"
        made: list[int] = Field(default_factory=lambda: [1, 2])
        nested: Inner = Inner()
        wait: timedelta = timedelta(seconds=5)
        by_alias: int = Field(default=1, alias="byAlias")
        by_choice: int = Field(default=2, validation_alias=AliasChoices("byChoice", "other"))
        secret: SecretStr = SecretStr("hidden")
        derived: int = Field(default_factory=lambda data: data["required"])
        unshowable: Any = object()

    @stage("a")
    def a(ctx: Context[NoInput, Config]) -> None: ...

    assert a.default_config == {
        "plain": "x",
        "made": [1, 2],
        "nested": {"depth": 2},
        "wait": "PT5S",
        "byAlias": 1,
        "byChoice": 2,
    }


def test_defaults_that_the_fields_do_not_allow_are_refused() -> None:
    class Limits(BaseModel):
        required: int
        low: int = Field(default=0, ge=1)
        texts: list[str] = Field(default_factory=lambda: [3])  # type: ignore[arg-type]

    def a(ctx: Context[NoInput, Limits]) -> None: ...

    with pytest.raises(DefinitionError) as raised:
        stage("a")(a)
    assert str(raised.value) == (
        "stage 'a': defaults of Limits are not allowed by its own fields: "
        "low: Input should be greater than or equal to 1; texts[0]: Input should be a valid string"
    )


def test_a_stage_is_shown_by_its_id() -> None:
    assert repr(extract_text) == "Stage('extract-text')"


def test_an_async_batch_stage_has_a_check() -> None:
    assert batch.mode == "async-batch"
    assert batch.output_type is Extracted
    assert batch.check_function is check_batch
    assert batch.state_adapter.validate_json('{"batch_id": "b"}') == BatchState(batch_id="b")


def test_a_check_is_refused_where_it_cannot_work() -> None:
    async def check(ctx: Context[NoInput], state: dict[str, str]) -> StillWaiting: ...
    async def stateless(ctx: Context[NoInput]) -> StillWaiting: ...

    @stage("fresh", mode="async-batch")
    async def fresh(ctx: Context[NoInput]) -> Suspended: ...

    with pytest.raises(MissingCheckError, match='not of mode "async-batch"'):
        extract_text.check(check)
    with pytest.raises(DefinitionError, match="has a check function already"):
        batch.check(check)
    with pytest.raises(DefinitionError, match="two parameters, `ctx` and `state`"):
        fresh.check(stateless)
    with pytest.raises(MissingCheckError, match="has no check function"):
        _ = fresh.state_adapter
