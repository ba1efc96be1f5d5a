"""Names that must be the same in every process and in every version: a change would pay or book something twice."""

import uuid
from datetime import UTC, datetime, timedelta

from stageline_sdk.ai.batches.naming import custom_id, earliest_start, mark_of, prompts_digest, usage_id
from stageline_sdk.ai.batches.reference import CANDIDATES_MAX, candidates_of, in_doubt


def test_ids_are_those_of_all_versions() -> None:
    mark = mark_of("batch.1-0198c6f2-0000-5000-8000-000000000000")
    assert mark == "350889a6bc9cb68c2e91"
    assert custom_id(mark, "page 1") == "350889a6bc9cb68c2e91-BiGhwRHP1FVKFy2ezUkKmg"
    assert usage_id("openai", "batch_1", "page 1") == "9dc6aa8d-7c61-5d91-ae56-61271c2bc3d7"


def test_prompts_are_told_apart_also_where_their_texts_join_to_the_same() -> None:
    assert prompts_digest(["ab", "c"]) != prompts_digest(["a", "bc"])
    assert prompts_digest([["a", "b"]]) == prompts_digest([("a", "b")])


def test_a_runs_id_tells_when_its_batches_can_have_begun() -> None:
    created = datetime(2026, 11, 22, 12, tzinfo=UTC)
    version_7 = uuid.UUID(int=int(created.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62)
    assert earliest_start(str(version_7)) == created - timedelta(minutes=10)
    assert [earliest_start(each) for each in ("r", str(uuid.UUID(int=4 << 76 | 2 << 62)))] == [None, None]


def test_a_reference_names_one_batch_or_those_that_may_be_it() -> None:
    several = [f"msgbatch_{number:024}" for number in range(CANDIDATES_MAX + 1)]
    assert candidates_of(in_doubt(several)) == tuple(several)
    assert len(in_doubt(several)) <= 1_024
    assert candidates_of("msgbatch_1") == ()
