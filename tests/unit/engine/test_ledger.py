"""What an AI call is booked to, whether it was wasted, and which records are refused."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from stageline_engine import limits
from stageline_engine.acceptance_usage import ai_call_violations
from stageline_engine.model.ai_call import AiCall, AiCallRow, CallType, CostSource, is_wasted
from stageline_engine.model.lease_token import ATTEMPT_MAX, GENERATION_MAX, attempt_of, lease_token
from stageline_engine.model.stage import StageRow, StageState
from stageline_engine.testing.ai_calls import ai_call

NOW = datetime(2030, 1, 1, tzinfo=UTC)
RUN = UUID(int=1)
CALL = ai_call(UUID(int=2))
LEASED = AiCallRow("default", CALL, NOW, NOW, RUN, 1, "a", 2, 3, UUID(int=4))


def stage(state: StageState = StageState.COMPLETED, generation: int = 2, attempt: int = 3) -> StageRow:
    return StageRow(RUN, 1, "a", 1, state, generation, attempt, 1, 9, None, 1, NOW)


@pytest.mark.parametrize(("generation", "attempt"), [(1, 1), (0, 0), (GENERATION_MAX - 1, ATTEMPT_MAX - 1)])
def test_a_token_tells_its_attempt(generation: int, attempt: int) -> None:
    assert attempt_of(lease_token(uuid4(), generation, attempt)) == (generation, attempt)


@pytest.mark.parametrize(
    ("generation", "attempt"),
    [(GENERATION_MAX, 1), (1, ATTEMPT_MAX), (10 * GENERATION_MAX, 10 * ATTEMPT_MAX)],
)
def test_what_a_token_has_no_room_for_is_not_told(generation: int, attempt: int) -> None:
    assert attempt_of(lease_token(uuid4(), generation, attempt)) is None


def test_tokens_of_an_earlier_version_tell_nothing() -> None:
    assert attempt_of(uuid4()) is None


def test_every_attempt_that_a_policy_allows_fits_into_a_token() -> None:
    assert limits.ATTEMPTS_MAX < ATTEMPT_MAX


def test_ninety_eight_bits_of_a_token_are_secret() -> None:
    none, all_ = lease_token(UUID(int=0), 1, 1), lease_token(UUID(int=2**128 - 1), 1, 1)
    assert (none.int ^ all_.int).bit_count() == 98
    assert none.variant == all_.variant == uuid4().variant


@pytest.mark.parametrize("state", StageState)
def test_waste_follows_from_where_the_stage_is_now(state: StageState) -> None:
    counts = state in {StageState.RUNNING, StageState.SUSPENDED, StageState.COMPLETED, StageState.SKIPPED}
    assert is_wasted(LEASED, stage(state), lease_lost=False) is not counts
    assert is_wasted(LEASED, stage(state), lease_lost=True)


def test_other_attempts_and_generations_are_waste() -> None:
    assert is_wasted(LEASED, stage(attempt=4), lease_lost=False)
    assert is_wasted(LEASED, stage(attempt=2), lease_lost=False)
    assert is_wasted(LEASED, stage(generation=3), lease_lost=False)
    assert is_wasted(LEASED, None, lease_lost=False)


def test_a_call_of_nobodys_attempt_is_never_waste() -> None:
    unleased = replace(LEASED, lease_token=None)
    assert not is_wasted(unleased, None, lease_lost=True)
    assert not is_wasted(unleased, stage(StageState.CANCELLED), lease_lost=False)


@pytest.mark.parametrize("verdict", [True, False])
def test_a_verdict_is_final(verdict: bool) -> None:
    settled = replace(LEASED, verdict=verdict)
    assert is_wasted(settled, None, lease_lost=not verdict) is verdict
    assert is_wasted(settled, stage(attempt=3 if verdict else 4), lease_lost=False) is verdict


def wrong(call: AiCall) -> list[str]:
    return [violation.field for violation in ai_call_violations(call)]


def test_a_plain_call_is_taken() -> None:
    assert wrong(CALL) == []


TEXTS = [
    ("topic", limits.TOPIC_LENGTH_MAX),
    ("model_key", limits.MODEL_NAME_LENGTH_MAX),
    ("model_id", limits.MODEL_NAME_LENGTH_MAX),
    ("provider", limits.PROVIDER_LENGTH_MAX),
    ("batch_id", limits.MODEL_NAME_LENGTH_MAX),
    ("error_message", limits.USAGE_ERROR_LENGTH_MAX),
]


@pytest.mark.parametrize(("field", "length_max"), TEXTS)
def test_texts_have_their_limits(field: str, length_max: int) -> None:
    def with_text(text: str) -> AiCall:
        fields: dict[str, Any] = {field: text}
        return replace(CALL, **fields)

    assert wrong(with_text("x" * length_max)) == []
    assert wrong(with_text("x" * (length_max + 1))) == [field]
    assert wrong(with_text("x\0")) == [field]


@pytest.mark.parametrize("topic", ["", "a b", "ä", "a\n", "a,b"])
def test_topics_are_made_of_few_characters(topic: str) -> None:
    assert wrong(replace(CALL, topic=topic)) == ["topic"]


@pytest.mark.parametrize(
    "field", ["input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens"]
)
def test_counts_have_their_range(field: str) -> None:
    def with_count(count: int) -> AiCall:
        fields: dict[str, Any] = {field: count}
        return replace(CALL, **fields)

    assert wrong(with_count(0)) == wrong(with_count(limits.TOKENS_PER_CALL_MAX)) == []
    assert wrong(with_count(-1)) == wrong(with_count(limits.TOKENS_PER_CALL_MAX + 1)) == [field]


@pytest.mark.parametrize("cost", ["0", "999999999.999999999999", f"1E-{limits.COST_DECIMALS_MAX}", "1E+2"])
def test_costs_in_their_range_are_taken(cost: str) -> None:
    assert wrong(replace(CALL, cost=Decimal(cost))) == []


@pytest.mark.parametrize("cost", ["-0.01", str(limits.COST_MAX_USD), "1E-13", "NaN", "Infinity", "-Infinity"])
def test_costs_out_of_their_range_are_refused(cost: str) -> None:
    assert wrong(replace(CALL, cost=Decimal(cost))) == ["cost_usd"]


def test_a_cost_has_a_source_and_a_source_a_cost() -> None:
    assert wrong(replace(CALL, cost_source=None)) == ["cost_source"]
    assert wrong(replace(CALL, cost=None)) == ["cost_source"]
    assert wrong(replace(CALL, cost=None, cost_source=None)) == []
    assert wrong(replace(CALL, cost_source=CostSource.CALLER)) == []


def test_metadata_is_a_small_json_object() -> None:
    room = limits.USAGE_METADATA_BYTES_MAX - len('{"k":""}')
    assert wrong(replace(CALL, metadata='{"k":"' + "x" * room + '"}')) == []
    for metadata in ('{"k":"' + "x" * (room + 1) + '"}', "[]", "{", '{"k":"\\u0000"}'):
        assert wrong(replace(CALL, metadata=metadata)) == ["metadata"]


def test_what_only_looks_wrong_is_kept() -> None:
    odd = replace(CALL, call_type=CallType.BATCH, input_tokens=1, cached_input_tokens=5, reasoning_tokens=99)
    assert wrong(odd) == []
