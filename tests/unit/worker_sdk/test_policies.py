"""Retry policies, time-outs and suspensions: every limit at n and beyond it."""

from datetime import timedelta
from typing import Any

import pytest

from stageline_sdk import DefinitionError, RetryableError, RetryPolicy, StageTimeouts, StillWaiting, Suspended

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (RetryPolicy, {}),
        (RetryPolicy, {"max_attempts": 1}),
        (RetryPolicy, {"max_attempts": 100}),
        (RetryPolicy, {"initial_backoff": timedelta(0), "max_backoff": timedelta(0)}),
        (RetryPolicy, {"initial_backoff": DAY, "max_backoff": DAY}),
        (RetryPolicy, {"backoff_factor": 1}),
        (RetryPolicy, {"backoff_factor": 10}),
        (RetryPolicy, {"jitter": 0}),
        (RetryPolicy, {"jitter": 1}),
        (RetryPolicy, {"non_retryable_error_types": ("e" * 255,) * 100}),
        (StageTimeouts, {}),
        (StageTimeouts, {"start_to_close": timedelta(microseconds=1)}),
        (StageTimeouts, {"schedule_to_start": 366 * DAY, "heartbeat": SECOND}),
        (Suspended, {"state": 1, "poll_interval": SECOND, "max_wait": 366 * DAY}),
        (StillWaiting, {"next_check": SECOND}),
    ],
)
def test_values_within_the_limits_are_accepted(kind: Any, fields: dict[str, Any]) -> None:
    made = kind(**fields)
    assert {name: getattr(made, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (RetryPolicy, {"max_attempts": 0}, "max_attempts must be 1 to 100, got 0"),
        (RetryPolicy, {"max_attempts": 101}, "max_attempts must be 1 to 100, got 101"),
        (RetryPolicy, {"max_backoff": DAY + SECOND}, "max_backoff must be 0 to 1 day"),
        (RetryPolicy, {"initial_backoff": -SECOND}, "initial_backoff must be 0 to max_backoff"),
        (RetryPolicy, {"initial_backoff": DAY}, "initial_backoff must be 0 to max_backoff"),
        (RetryPolicy, {"backoff_factor": 0.9}, "backoff_factor must be 1 to 10, got 0.9"),
        (RetryPolicy, {"backoff_factor": 10.1}, "backoff_factor must be 1 to 10, got 10.1"),
        (RetryPolicy, {"backoff_factor": float("nan")}, "backoff_factor must be 1 to 10, got nan"),
        (RetryPolicy, {"jitter": -0.1}, "jitter must be 0 to 1"),
        (RetryPolicy, {"jitter": 1.1}, "jitter must be 0 to 1"),
        (RetryPolicy, {"non_retryable_error_types": "ValueError"}, "must be a tuple of names"),
        (RetryPolicy, {"non_retryable_error_types": (ValueError,)}, "names of exception classes"),
        (RetryPolicy, {"non_retryable_error_types": ("",)}, "1 to 255 characters, got 0"),
        (RetryPolicy, {"non_retryable_error_types": ("e" * 256,)}, "1 to 255 characters, got 256"),
        (RetryPolicy, {"non_retryable_error_types": ("e",) * 101}, "may hold 100 names, got 101"),
        (StageTimeouts, {"start_to_close": timedelta(0)}, "start_to_close must be longer than zero"),
        (StageTimeouts, {"schedule_to_start": 366 * DAY + SECOND}, "at most 366 days"),
        (StageTimeouts, {"heartbeat": SECOND / 2}, "heartbeat must be at least 0:00:01"),
        (Suspended, {"state": 1, "poll_interval": SECOND / 2}, "poll_interval must be 0:00:01 to 366 days"),
        (Suspended, {"state": 1, "max_wait": 366 * DAY + SECOND}, "max_wait must be 0:00:01 to 366 days"),
        (StillWaiting, {"next_check": timedelta(0)}, "next_check must be 0:00:01 to 366 days"),
    ],
)
def test_values_beyond_the_limits_are_refused(kind: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        kind(**fields)


def test_a_wait_before_a_retry_is_not_negative() -> None:
    assert RetryableError("x", retry_after=timedelta(0)).retry_after == timedelta(0)
    with pytest.raises(ValueError, match="must not be negative"):
        RetryableError("x", retry_after=-SECOND)
