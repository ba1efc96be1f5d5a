"""What a stage's context gives, and what it refuses."""

# mypy: disable-error-code="empty-body"

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

import pytest
from pydantic import BaseModel

from stageline_sdk import (
    ApiError,
    Context,
    MissingOutputError,
    NoConfig,
    NoInput,
    NonRetryableError,
    Stage,
    stage,
)
from stageline_sdk._job import Job, LogRecord, ProgressUpdate
from stageline_sdk.cancellation import CancelSource
from stageline_sdk.context import context_for
from stageline_sdk.errors import StageCancelledError
from tests.unit.worker_sdk.samples import Extracted, extract_text, sentiment
from tests.unit.worker_sdk.sinks import KeepingSink

DEADLINE = datetime(2026, 1, 1, tzinfo=UTC)
OUTPUTS = {"extract-text": b'{"text": "a b", "word_count": 2}', "sentiment": b"0.5"}


def context(
    sink: KeepingSink | None = None,
    outputs: Mapping[str, bytes] = OUTPUTS,
    stored: frozenset[str] = frozenset(),
    cancel: CancelSource | None = None,
) -> Context[NoInput, NoConfig]:
    job = Job(
        run_id="r-1",
        workflow_name="w",
        workflow_version=3,
        stage_id="aggregate",
        attempt=2,
        delivery=4,
        generation=5,
        deadline=DEADLINE,
        outputs=outputs,
        stored_outputs=stored,
    )
    return context_for(job, NoInput(), NoConfig(), sink or KeepingSink(), cancel or CancelSource())


def test_it_says_who_and_when() -> None:
    ctx = context()
    assert (ctx.run_id, ctx.workflow_name, ctx.workflow_version, ctx.stage_id) == ("r-1", "w", 3, "aggregate")
    assert (ctx.attempt, ctx.delivery, ctx.generation, ctx.deadline) == (2, 4, 5, DEADLINE)


def test_outputs_are_required_by_stage_or_by_id() -> None:
    ctx = context()
    assert ctx.require(extract_text) == Extracted(text="a b", word_count=2)
    assert ctx.require("extract-text") == {"text": "a b", "word_count": 2}
    assert ctx.optional(sentiment) == 0.5
    assert ctx.optional("sentiment") == 0.5


def test_a_missing_output_fails_loudly_and_names_what_there_is() -> None:
    with pytest.raises(MissingOutputError) as raised:
        context().require("keywords")
    assert str(raised.value) == (
        "stage 'aggregate' requires the output of stage 'keywords', which this run does not have. "
        "Outputs of earlier groups: extract-text, sentiment"
    )
    assert raised.value.available == ("extract-text", "sentiment")
    with pytest.raises(MissingOutputError, match="Outputs of earlier groups: none"):
        context(outputs={}).require(extract_text)


def test_a_missing_output_may_be_optional() -> None:
    assert context(outputs={}).optional(extract_text) is None
    assert context(outputs={}).optional("extract-text") is None


@pytest.mark.parametrize("value", [None, 0, "", False, [], {}])
def test_falsy_outputs_are_there(value: Any) -> None:
    ctx = context(outputs={"falsy": json.dumps(value).encode()})
    assert ctx.require("falsy") == value
    assert ctx.optional("falsy") == value


def test_an_output_that_was_not_sent_is_fetched_once() -> None:
    sink = KeepingSink(stored=OUTPUTS)
    ctx = context(sink, outputs={}, stored=frozenset({"sentiment"}))
    assert ctx.available_outputs == ("sentiment",)
    assert ctx.require(sentiment) == 0.5
    assert ctx.require("sentiment") == 0.5
    assert sink.fetched == ["sentiment"]


def test_an_output_that_cannot_be_fetched_says_why() -> None:
    with pytest.raises(ApiError, match="STAGE_NOT_FOUND: no output of gone"):
        context(outputs={}, stored=frozenset({"gone"})).require("gone")


def test_an_output_of_another_type_is_final() -> None:
    class Newer(BaseModel):
        text: str
        language: str

    @stage("extract-text")
    def newer(ctx: Context[NoInput]) -> Newer: ...

    with pytest.raises(NonRetryableError, match="output of stage 'extract-text' does not fit"):
        context().require(newer)


def test_log_lines_have_levels_and_fields() -> None:
    sink = KeepingSink()
    ctx = context(sink)
    ctx.log.debug("d")
    ctx.log.info("i", bytes=10, message="also a field", level=1)
    ctx.log.warning("w")
    ctx.log.error("e")
    ctx.log("INFO", "called", a=None)
    ctx.log("warn", "lower case")  # type: ignore[arg-type]
    assert sink.logs == [
        LogRecord("DEBUG", "d"),
        LogRecord("INFO", "i", {"bytes": 10, "message": "also a field", "level": 1}),
        LogRecord("WARNING", "w"),
        LogRecord("ERROR", "e"),
        LogRecord("INFO", "called", {"a": None}),
        LogRecord("WARNING", "lower case"),
    ]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="DEBUG, INFO, WARNING or ERROR, got 'LOUD'"):
        context().log("LOUD", "x")  # type: ignore[arg-type]


class Rank(IntEnum):
    FIRST = 1


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_fields_of_any_value_can_be_logged() -> None:
    sink = KeepingSink()
    circle: list[Any] = []
    circle.append(circle)
    context(sink).log.info(
        "nul \x00 and half \ud800",
        model=Extracted(text="t", word_count=1),
        when=DEADLINE,
        nan=float("nan"),
        nested=[float("inf"), "\x00"],
        nothing=object,
        circle=circle,
        rank=Rank.FIRST,
        unshowable=Unshowable(),
        lone="\udfff",
    )
    [record] = sink.logs
    assert record.message == "nul \ufffd and half ?"
    assert record.fields["model"] == {"text": "t", "word_count": 1}
    assert record.fields["when"] == "2026-01-01T00:00:00Z"
    assert record.fields["nan"] == "NaN"
    assert record.fields["nested"] == ["Infinity", "\ufffd"]
    assert record.fields["nothing"] == "<class 'object'>"
    assert record.fields["circle"] == "[[...]]"
    assert type(record.fields["rank"]) is int
    assert record.fields["unshowable"] == "<Unshowable that cannot be shown>"
    assert record.fields["lone"] == "?"
    json.dumps(record.fields, allow_nan=False).encode("utf-8")


def test_progress_is_a_fraction() -> None:
    sink = KeepingSink()
    ctx = context(sink)
    ctx.progress(0)
    ctx.progress(0.5, "half way", pages=3)
    ctx.progress(1)
    assert sink.updates == [
        ProgressUpdate(0.0),
        ProgressUpdate(0.5, "half way", {"pages": 3}),
        ProgressUpdate(1.0),
    ]


@pytest.mark.parametrize("fraction", [-0.01, 1.01, 50, float("nan"), float("inf")])
def test_progress_beyond_a_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"fraction from 0 to 1, got .*; divide a percentage by 100"):
        context().progress(fraction)


def test_annotations_are_kept() -> None:
    sink = KeepingSink()
    ctx = context(sink)
    ctx.annotate("decision.outcome", {"kept": True}, details={"because": "long"}, emit_event=True)
    [annotation] = sink.annotations
    assert annotation.key == "decision.outcome"
    assert annotation.value == {"kept": True}
    assert annotation.details == {"because": "long"}
    assert annotation.emit_event
    for bad in ("", "k" * 256):
        with pytest.raises(ValueError, match=f"1 to 255 characters, got {len(bad)}"):
            ctx.annotate(bad, 1)
    with pytest.raises(ValueError, match="has no value"):
        ctx.annotate("k", None)


def test_cancellation_raises_with_its_reason() -> None:
    cancel = CancelSource()
    ctx = context(cancel=cancel)
    ctx.raise_if_cancelled()
    cancel.cancel("the run was cancelled")
    with pytest.raises(StageCancelledError, match="no longer wanted: the run was cancelled") as raised:
        ctx.raise_if_cancelled()
    assert raised.value.reason == "the run was cancelled"


def test_a_context_does_not_change() -> None:
    with pytest.raises(AttributeError):
        context().attempt = 9  # type: ignore[misc]


def test_a_stage_object_gives_the_type_of_its_own_output() -> None:
    typed: Stage[Any, Extracted, Any] = extract_text
    required: Extracted = context().require(typed)
    assert required.word_count == 2
