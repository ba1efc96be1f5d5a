"""Whether and when a failed try is followed by another; the vectors are those that every SDK uses too."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from stageline_engine.commands import Failed
from stageline_engine.decide.retry import backoff, retry_delay
from stageline_engine.events import StageError
from stageline_engine.limits import RETRY_BACKOFF_MAX
from stageline_engine.model.definition import RetryPolicy
from tests.tidy.tree import read

CASES: list[dict[str, Any]] = orjson.loads(read("protos/testdata/backoff.json"))["cases"]
FAILURE = Failed(StageError("ValueError", "m"))
THRICE = RetryPolicy(max_attempts=3, initial_backoff=timedelta(seconds=2), jitter=0.0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_backoff_is_that_of_the_vectors(case: dict[str, Any]) -> None:
    policy = RetryPolicy(
        initial_backoff=timedelta(seconds=case["initial_backoff_seconds"]),
        max_backoff=timedelta(seconds=case["max_backoff_seconds"]),
        backoff_factor=case["backoff_factor"],
    )
    for delay in case["delays"]:
        got = backoff(policy, delay["failed_attempt"])
        assert abs(got - timedelta(seconds=delay["delay_seconds"])) <= timedelta(microseconds=1), delay


def test_attempts_are_bounded_by_the_policy() -> None:
    assert [retry_delay(THRICE, attempt, FAILURE, 0.5) for attempt in (1, 2, 3, 4)] == [
        timedelta(seconds=2),
        timedelta(seconds=4),
        None,
        None,
    ]


def test_a_failure_may_be_final_by_word_or_by_type() -> None:
    assert retry_delay(THRICE, 1, Failed(FAILURE.error, retryable=False), 0.5) is None
    listed = RetryPolicy(non_retryable_error_types=("KeyError", "ValueError"))
    assert retry_delay(listed, 1, FAILURE, 0.5) is None
    assert retry_delay(listed, 1, Failed(FAILURE.error, retryable=True), 0.5) is None
    assert retry_delay(THRICE, 1, Failed(FAILURE.error, retryable=True), 0.5) == timedelta(seconds=2)


@pytest.mark.parametrize(
    ("wish", "wait"),
    [
        (timedelta(), timedelta()),
        (timedelta(seconds=-1), timedelta()),
        (timedelta(seconds=99), timedelta(seconds=99)),
        (RETRY_BACKOFF_MAX, RETRY_BACKOFF_MAX),
        (RETRY_BACKOFF_MAX + timedelta(microseconds=1), RETRY_BACKOFF_MAX),
    ],
)
def test_a_workers_wish_replaces_the_backoff_within_the_limit(wish: timedelta, wait: timedelta) -> None:
    assert retry_delay(THRICE, 1, Failed(FAILURE.error, retry_after=wish), 0.5) == wait


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 8), (0.5, 10), (1.0, 12)])
def test_jitter_spreads_the_wait_evenly_around_the_backoff(chance: float, seconds: float) -> None:
    policy = RetryPolicy(initial_backoff=timedelta(seconds=10), jitter=0.2)
    assert retry_delay(policy, 1, FAILURE, chance) == timedelta(seconds=seconds)


def test_jitter_does_not_pass_the_longest_wait() -> None:
    policy = RetryPolicy(initial_backoff=RETRY_BACKOFF_MAX, max_backoff=RETRY_BACKOFF_MAX, jitter=1.0)
    assert retry_delay(policy, 1, FAILURE, 1.0) == RETRY_BACKOFF_MAX
    assert retry_delay(policy, 1, FAILURE, 0.0) == timedelta()
