"""Stage ids as constants."""

import copy
import pickle
from typing import Any

import pytest

from stageline_sdk import (
    DefinitionError,
    DuplicateStageIdError,
    InvalidStageIdError,
    assert_valid_stage_id,
    define_stage_ids,
    is_valid_stage_id,
    stage_ids,
)
from tests.unit.worker_sdk.samples import document_processor


def test_11_1_10_ids_become_constants() -> None:
    ids = define_stage_ids(["data-extraction", "merge.all"])
    assert ids.DATA_EXTRACTION == "data-extraction"
    assert ids["MERGE_ALL"] == "merge.all"
    assert dict(ids) == {"DATA_EXTRACTION": "data-extraction", "MERGE_ALL": "merge.all"}


def test_11_1_10_a_workflow_has_its_ids() -> None:
    ids = stage_ids(document_processor)
    assert list(ids) == ["EXTRACT_TEXT", "SENTIMENT", "KEYWORDS", "AGGREGATE"]
    assert repr(define_stage_ids(["a"])) == "StageIds(A='a')"
    assert "EXTRACT_TEXT" in dir(ids)


def test_11_1_10_constants_are_frozen() -> None:
    ids = define_stage_ids(["a"])
    with pytest.raises(AttributeError, match="frozen: A cannot be set"):
        ids.A = "b"
    with pytest.raises(AttributeError, match="frozen: A cannot be deleted"):
        del ids.A
    with pytest.raises(TypeError):
        ids["A"] = "b"  # type: ignore[operator]


def test_an_unknown_constant_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="no stage id B; there are: A"):
        _ = define_stage_ids(["a"]).B


def test_constants_can_be_copied() -> None:
    ids = define_stage_ids(["a-b"])
    assert copy.deepcopy(ids) == ids
    assert pickle.loads(pickle.dumps(ids)) == ids


@pytest.mark.parametrize(
    ("ids", "message"),
    [(["a", "a"], "given twice"), (["a-b", "a_b"], "'a-b' and 'a_b' both give the constant A_B")],
)
def test_two_ids_cannot_share_a_constant(ids: list[str], message: str) -> None:
    with pytest.raises(DuplicateStageIdError, match=message):
        define_stage_ids(ids)


def test_bad_ids_are_refused() -> None:
    with pytest.raises(InvalidStageIdError):
        define_stage_ids(["Not Valid"])
    with pytest.raises(DefinitionError, match=r"write \['abc'\]"):
        define_stage_ids("abc")


@pytest.mark.parametrize(
    ("value", "valid", "of_workflow"),
    [
        ("sentiment", True, True),
        ("other", True, False),
        ("Not Valid", False, False),
        ("a\x00", False, False),
        (3, False, False),
    ],
)
def test_ids_are_judged(value: Any, valid: bool, of_workflow: bool) -> None:
    assert is_valid_stage_id(value) is valid
    assert is_valid_stage_id(value, document_processor) is of_workflow


def test_11_1_10_asserting_an_unknown_id_lists_the_valid_ones() -> None:
    assert assert_valid_stage_id("sentiment", document_processor) == "sentiment"
    assert assert_valid_stage_id("other") == "other"
    with pytest.raises(InvalidStageIdError) as raised:
        assert_valid_stage_id("other", document_processor)
    assert str(raised.value) == (
        "workflow 'document-processor' has no stage 'other'; "
        "its stages are: extract-text, sentiment, keywords, aggregate"
    )
    assert raised.value.id == "other"
    with pytest.raises(InvalidStageIdError, match="1 to 128 characters"):
        assert_valid_stage_id("Not Valid", document_processor)
